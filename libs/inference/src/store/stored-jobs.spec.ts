import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { completed, jobRecord, withInputs } from '../../../../test/fixtures/job-record.js';
import { StoreProcess } from '../../../../test/fixtures/store-process.js';
import type { JobRecord } from '../job.types.js';
import { FileJobStore } from './file.job-store.js';
import { StoredJobs } from './stored-jobs.js';

const picture = Buffer.from('a picture');

/** A logger that keeps what it is told. */
class LogBook {
  readonly errors: string[] = [];
  readonly warnings: string[] = [];
  log(): void {}
  error(message: string): void {
    this.errors.push(message);
  }
  warn(message: string): void {
    this.warnings.push(message);
  }
}

describe(StoredJobs.name, () => {
  let directory: string;
  let log: LogBook;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'qwen-stored-'));
    log = new LogBook();
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  async function open(): Promise<JobRecord[]> {
    const store = new FileJobStore({ directory, maxBytes: Infinity }, log as never);
    const records = await store.open();
    await store.close();
    return records;
  }

  /** As a store leaves it. */
  function write(record: JobRecord, files: Record<string, Buffer | string> = {}): string {
    const folder = join(directory, record.id);
    mkdirSync(folder, { mode: 0o700 });
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
    writeFileSync(join(folder, 'job.json'), JSON.stringify(record));
    return folder;
  }

  const good = jobRecord();
  /** The record's JSON with one field, by its path, changed. */
  const edited = (path: string, value: unknown, others: Partial<JobRecord> = {}): string => {
    const record = { ...structuredClone(good), ...others };
    const fields = path.split('.');
    const last = fields.pop() ?? '';
    const parent = fields.reduce<object>((part, field) => Reflect.get(part, field) as object, record);
    Reflect.set(parent, last, value);
    return JSON.stringify(record);
  };
  const texts: Record<string, [content: string | Buffer, reason: string]> = {
    empty: ['', '0 bytes that are not JSON'],
    truncated: [JSON.stringify(good).slice(0, 200), '200 bytes that are not JSON'],
    'zeros, as a power cut leaves them': [Buffer.alloc(500), '500 bytes that are not JSON'],
    'not UTF-8': [Buffer.from([0xff, 0xfe, 0x7b]), '3 bytes that are not JSON'],
    null: ['null', 'must be an object'],
    'a list': ['[]', 'must be an object'],
    'an empty object': ['{}', 'format must be one of 1'],
    'another format': [edited('format', 2), 'format must be one of 1'],
    'another job': [edited('id', jobRecord().id), 'id: of another job'],
    'an id with a path': [edited('id', '../x'), 'id: of another job, "../x"'],
    'an unknown state': [edited('state', 'paused'), 'state must be one of queued, running'],
    'a time that is none': [edited('createdAt', 'now'), 'createdAt must be a number'],
    'a negative attempt': [edited('attempt', -1), 'attempt must be a whole number'],
    'no request': [edited('request', undefined), 'request must be an object'],
    'an input that is no name': [edited('request.inputs', [1]), 'request.inputs[0] must be a string'],
    'a broken owner': [edited('order.owner', 7), 'order.owner must be a string'],
    'a broken key': [edited('order.idempotency', { key: 'k' }), 'order.idempotency.fingerprint must be a string'],
    'broken progress': [edited('progress', { stage: 'denoise', image: 0, step: 1.5, total: 2 }), 'progress.step must be a whole'],
    'a broken event': [edited('events.latest', [{ id: 1, name: 'queued' }]), 'events.latest[0].data must be an object'],
    'an end without a time': [edited('state', 'failed'), 'finishedAt: null, but the state is failed'],
    'an end without a result': [JSON.stringify({ ...good, state: 'completed', finishedAt: 1 }), 'outcome: null, but'],
    'an end without a reason': [edited('state', 'failed', { finishedAt: 1 }), 'error: null, but the state is failed'],
    'a prompt that is none': [edited('request.generate.prompt', 7), 'request.generate.prompt must be a string'],
    'a size that is none': [edited('request.generate.width', '64'), 'request.generate.width must be a whole number'],
    'no output': [edited('request.output', {}), 'request.output.format must be a string'],
    'of a kind that is not drawn here': [edited('request.kind', 'inpaint'), 'request.kind must be one of text-to-image, '],
    'of a format that is not made here': [edited('request.output.format', 'avif'), 'request.output.format must be one of png, '],
    'of too many servers': [edited('events.generation', 1e9), 'events.generation must be a whole number from 0 to 1000000'],
    'a broken reserve': [edited('reservedBytes', '1'), 'reservedBytes must be a whole number'],
  };

  it.each(Object.entries(texts))('puts a job aside whose record is %s, with one line', async (_, [content, reason]) => {
    const fine = jobRecord();
    write(fine);
    const folder = write(good, { 'image-0': picture });
    writeFileSync(join(folder, 'job.json'), content);
    expect(await open()).toEqual([fine]);
    const place = join(directory, 'corrupt', good.id);
    expect(readdirSync(place).sort()).toEqual(['image-0', 'job.json']);
    expect(readFileSync(join(place, 'job.json'))).toEqual(Buffer.from(content));
    expect(log.errors).toHaveLength(1);
    expect(log.errors[0]).toContain(`from ${folder} to ${place}: job.json: `);
    expect(log.errors[0]).toContain(reason);
    expect(log.errors[0]).not.toContain('a red circle');
    expect(log.errors[0]).not.toContain('\n');
    expect(await open()).toEqual([fine]);
    expect(log.errors).toHaveLength(1);
  });

  const places: Record<string, (path: string, folder: string) => void> = {
    'a folder': (path) => mkdirSync(path),
    'a link': (path, folder) => {
      writeFileSync(join(folder, 'target'), JSON.stringify(good));
      symlinkSync('target', path);
    },
    'a link to nothing': (path) => symlinkSync('/nowhere/at/all', path),
    'a link without end': (path) => symlinkSync('job.json', path),
    'a pipe': (path) => void execFileSync('mkfifo', [path]),
    'a file of 100 MB': (path) => {
      writeFileSync(path, '');
      truncateSync(path, 100_000_000);
    },
  };
  it.each(Object.entries(places))('puts a job aside whose record is %s', async (_, make) => {
    const folder = write(good);
    unlinkSync(join(folder, 'job.json'));
    make(join(folder, 'job.json'), folder);
    expect(await open()).toEqual([]);
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync(join(directory, 'corrupt'))).toEqual([good.id]);
    expect(log.errors).toHaveLength(1);
  });

  it('puts aside what is no folder but has the name of a job, and follows no link', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'qwen-elsewhere-'));
    writeFileSync(join(elsewhere, 'job.json.tmp'), 'of somebody else');
    symlinkSync(elsewhere, join(directory, good.id));
    const file = jobRecord();
    writeFileSync(join(directory, file.id), 'a file');
    expect(await open()).toEqual([]);
    expect(readdirSync(join(directory, 'corrupt')).sort()).toEqual([good.id, file.id].sort());
    expect(readlinkSync(join(directory, 'corrupt', good.id))).toBe(elsewhere);
    expect(readFileSync(join(elsewhere, 'job.json.tmp'), 'utf8')).toBe('of somebody else');
    rmSync(elsewhere, { recursive: true });
  });

  it('replaces nothing that was put aside before', async () => {
    for (const content of ['first', 'second', 'third']) {
      writeFileSync(join(write(good), 'job.json'), content);
      await open();
    }
    const kept = ['', '.2', '.3'].map((end) => readFileSync(join(directory, 'corrupt', good.id + end, 'job.json'), 'utf8'));
    expect(kept).toEqual(['first', 'second', 'third']);
  });

  it('starts when a broken job cannot be moved either', async () => {
    writeFileSync(join(write(good), 'job.json'), '');
    writeFileSync(join(directory, 'corrupt'), 'a file in the way');
    expect(await open()).toEqual([]);
    expect(log.errors).toEqual([expect.stringContaining('nor moved away: EEXIST')]);
    expect(existsSync(join(directory, good.id))).toBe(true);
  });

  it('puts a waiting job aside whose input is missing, empty or no file', async () => {
    const record = withInputs(jobRecord(), [picture]);
    write(record);
    write({ ...record, id: good.id }, { 'input-0': '' });
    const linked = jobRecord();
    symlinkSync('/etc/hostname', join(write({ ...record, id: linked.id }), 'input-0'));
    const whole = { ...record, id: jobRecord().id };
    write(whole, { 'input-0': picture });
    expect(await open()).toEqual([whole]);
    expect(readdirSync(join(directory, 'corrupt'))).toHaveLength(3);
    expect(log.errors.every((line) => line.endsWith('input-0: no file, or an empty one'))).toBe(true);
  });

  it('puts an ended job aside whose picture is missing or truncated', async () => {
    const record = completed(jobRecord(), [picture]);
    write(record, { 'image-0': picture.subarray(1) });
    write({ ...record, id: good.id });
    const whole = { ...record, id: jobRecord().id };
    write(whole, { 'image-0': picture });
    expect(await open()).toEqual([whole]);
    expect(log.errors.map((line) => line.split(': ').slice(1).join(': ')).sort()).toEqual([
      'image-0: 9 bytes are missing, got 8',
      'image-0: 9 bytes are missing, got no file',
    ]);
  });

  it('takes away what a killed server left, and nothing else', async () => {
    // Killed in create: no record yet.
    const halfCreated = jobRecord();
    rmSync(join(write(halfCreated, { 'input-0': picture, 'job.json.tmp': '{' }), 'job.json'));
    // Killed in save and in finish, before its record.
    const halfFinished = withInputs(jobRecord({ state: 'running' }), [picture]);
    write(halfFinished, {
      'input-0': picture,
      'image-0': picture,
      'image-1.tmp': 'a',
      'job.json.tmp': '{"for',
      'preview-1.json.tmp': '',
    });
    // Killed in finish, after it.
    const finished = completed(withInputs(jobRecord(), [picture]), [picture]);
    write(finished, { 'input-0': picture, 'image-0': picture });
    // Killed in remove.
    const removed = write(jobRecord(), { 'image-0': picture });
    execFileSync('mv', [removed, `${removed}.tmp`]);
    // Not of this server.
    mkdirSync(join(directory, 'notes.tmp'));
    writeFileSync(join(directory, 'README'), 'theirs');
    mkdirSync(join(directory, `${good.id}.old`));

    const found = await open();
    expect(found).toHaveLength(2);
    expect(found).toEqual(expect.arrayContaining([halfFinished, finished]));
    expect(readdirSync(directory).sort()).toEqual(
      ['README', 'lock', 'notes.tmp', `${good.id}.old`, halfFinished.id, finished.id].sort(),
    );
    expect(readdirSync(join(directory, halfFinished.id)).sort()).toEqual(['input-0', 'job.json']);
    expect(readdirSync(join(directory, finished.id)).sort()).toEqual(['image-0', 'job.json']);
    expect([...log.errors, ...log.warnings]).toEqual([]);
  });

  it('puts aside what is left of a job that has lost its record, and what is none of a job', async () => {
    for (const name of ['image-0', 'notes']) unlinkSync(join(write(jobRecord(), { [name]: picture }), 'job.json'));
    expect(await open()).toEqual([]);
    const kept = readdirSync(join(directory, 'corrupt'), { recursive: true, encoding: 'utf8' }).map((path) => basename(path));
    expect(kept).toEqual(expect.arrayContaining(['image-0', 'notes']));
    expect(log.errors).toEqual([expect.stringMatching(/ENOENT.*job\.json/), expect.stringMatching(/ENOENT.*job\.json/)]);
  });

  it('keeps an ended job of another version, whatever its kind, its format and its error', async () => {
    const record = { ...good, state: 'failed', finishedAt: 1, request: { ...good.request, kind: 'inpaint' } };
    const error = { code: 'TOO_SAD', message: 'too sad', param: null, faults: [], retryAfterS: null };
    write({ ...record, error } as never);
    expect(await open()).toEqual([{ ...record, error }]);
  });

  it('counts nothing as kept free for a job that has ended', async () => {
    const ended = { ...completed(jobRecord(), [picture]), reservedBytes: 1e6 };
    write(ended, { 'image-0': picture });
    const store = new FileJobStore({ directory, maxBytes: Infinity }, log as never);
    await store.open();
    expect(store.usedBytes()).toBe(JSON.stringify(ended).length + picture.length);
    await store.close();
  });

  it('finds 2000 jobs, and lets the event loop turn meanwhile', async () => {
    for (let index = 0; index < 2000; index++) write(jobRecord({ createdAt: (index * 7919) % 2000 }));
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    const records = await open();
    clearInterval(counting);
    expect(records.map(({ createdAt }) => createdAt)).toEqual(Array.from({ length: 2000 }, (_, index) => index));
    expect(turns).toBeGreaterThan(10);
  });

  it('puts no job aside because this process is short of descriptors', async () => {
    for (let index = 0; index < 200; index++) write(jobRecord());
    const starved = new StoreProcess(directory, 'starve', { limit: 'ulimit -n 256' });
    expect(await starved.line('open', 'error')).toMatch(/^error jobs\.directory: .* cannot be used: EMFILE/);
    await starved.kill();
    expect(existsSync(join(directory, 'corrupt'))).toBe(false);
    expect(await open()).toHaveLength(200);
  });

  it('closes a folder of jobs to other users, and tells so', async () => {
    write(good);
    chmodSync(directory, 0o755);
    expect(await open()).toEqual([good]);
    expect(statSync(directory).mode & 0o7777).toBe(0o700);
    expect(log.warnings).toEqual([expect.stringContaining('(mode 0755), its mode is 0700 now')]);
  });

  it('leaves the mode of a folder that holds something else, and tells so', async () => {
    writeFileSync(join(directory, 'theirs'), '');
    chmodSync(directory, 0o777);
    expect(await open()).toEqual([]);
    expect(statSync(directory).mode & 0o7777).toBe(0o777);
    expect(log.warnings).toEqual([expect.stringContaining('is open to other users (mode 0777)')]);
  });
});
