import { Logger } from '@nestjs/common';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { completed, jobRecord, withInputs } from '../../../../test/fixtures/job-record.js';
import type { JobEvent, JobRecord } from '../job.types.js';
import { FileJobStore } from './file.job-store.js';

const durable = { durable: true };
const quick = { durable: false };
const input = Buffer.from('an uploaded picture');
const image = Buffer.from('a finished picture');

function preview(id: number): JobEvent {
  return { id, name: 'preview', data: { index: id, b64_json: 'AAAA' } };
}

describe(FileJobStore.name, () => {
  let directory: string;
  let store: FileJobStore;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'qwen-store-'));
    store = newStore();
    await store.open();
  });
  afterEach(async () => {
    await store.close();
    rmSync(directory, { recursive: true });
  });

  function newStore(maxBytes = Infinity): FileJobStore {
    return new FileJobStore({ directory, maxBytes });
  }

  /** What the next server finds. */
  async function reopen(maxBytes = Infinity): Promise<JobRecord[]> {
    await store.close();
    store = newStore(maxBytes);
    return store.open();
  }

  async function create(changes: Partial<JobRecord> = {}, reserveBytes = 0, inputs = [input]): Promise<JobRecord> {
    const record = withInputs(jobRecord(changes), inputs);
    await store.create(record, inputs, { durable: false, reserveBytes });
    return record;
  }

  function filesOf({ id }: JobRecord): string[] {
    return readdirSync(join(directory, id)).sort();
  }

  it.each([durable, quick])('gives the next server every job, oldest first (%j)', async (options) => {
    const records = [3, 1, 2].map((createdAt) => withInputs(jobRecord({ createdAt }), [input, image]));
    for (const record of records) await store.create(record, [input, image], { ...options, reserveBytes: 0 });
    const [third, first, second] = records;
    expect(await reopen()).toEqual([first, second, third]);
    expect(await store.readRecord(first!.id)).toEqual(first);
    expect(await store.readInput(first!.id, 0)).toEqual(input);
    expect(await store.readInput(first!.id, 1)).toEqual(image);
  });

  it.each([durable, quick])('replaces the record and adds the pictures of the end (%j)', async (options) => {
    const record = await create();
    const running: JobRecord = { ...record, state: 'running', attempt: 1 };
    await store.save(running, options);
    expect(await store.readRecord(record.id)).toEqual(running);
    const ended = completed(running, [image, input]);
    await store.finish(ended, [image, input], options);
    expect(filesOf(record)).toEqual(['image-0', 'image-1', 'job.json']);
    expect(await reopen()).toEqual([ended]);
    expect(await store.readImage(record.id, 0)).toEqual(image);
    expect(await store.readImage(record.id, 1)).toEqual(input);
    await expect(store.readInput(record.id, 0)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('keeps what a record was when it was given', async () => {
    const record = await create();
    const changing = { ...record, attempt: 1 };
    const saved = store.save(changing, durable);
    changing.attempt = 2;
    await saved;
    expect((await store.readRecord(record.id)).attempt).toBe(1);
  });

  it('writes one change after the other, and never half of one', async () => {
    const record = await create();
    const saves = Array.from({ length: 60 }, (_, attempt) =>
      store.save({ ...record, attempt, token: 'x'.repeat((attempt * 7919) % 20000) }, attempt % 7 === 0 ? durable : quick),
    );
    const order: number[] = [];
    saves.forEach((save, attempt) => void save.then(() => order.push(attempt)));
    let reads = 0;
    for (let last = 0; order.length < saves.length; reads++) {
      const { attempt } = await store.readRecord(record.id);
      expect(attempt).toBeGreaterThanOrEqual(last);
      last = attempt;
    }
    expect(reads).toBeGreaterThan(1);
    expect(order).toEqual(order.map((_, index) => index));
    expect((await store.readRecord(record.id)).attempt).toBe(59);
    expect(filesOf(record)).toEqual(['input-0', 'job.json']);
  });

  it('lets a job be removed after what was begun, and takes no change later', async () => {
    const record = await create();
    const begun = store.save({ ...record, attempt: 1 }, durable);
    const removed = store.remove(record.id);
    const tooLate = store.save({ ...record, attempt: 2 }, durable);
    await expect(begun).resolves.toBeUndefined();
    await expect(removed).resolves.toBeUndefined();
    await expect(tooLate).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(readdirSync(directory)).toEqual(['lock']);
    expect(await reopen()).toEqual([]);
  });

  it('gives a picture piece by piece, and keeps no file open of one that nobody reads', async () => {
    const large = Buffer.alloc(1_000_000, 'a picture');
    const record = await create();
    await store.finish(completed(record, [large]), [large], quick);
    const openFiles = () => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    const { length, stream } = await store.openImage(record.id, 0);
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    expect(length).toBe(large.length);
    expect(pieces.length).toBeGreaterThan(10);
    expect(Buffer.concat(pieces).equals(large)).toBe(true);

    const unread = await store.openImage(record.id, 0);
    expect(openFiles()).toBe(before + 1);
    await store.remove(record.id);
    unread.stream.destroy();
    await once(unread.stream, 'close');
    expect(openFiles()).toBe(before);
    await expect(store.openImage(record.id, 0)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('counts of a new job what it has told that it would', async () => {
    const inputs = [input, image];
    const record = withInputs(jobRecord({}), inputs);
    const before = store.usedBytes();
    const neededBytes = store.neededBytes(record, inputs, 1000);
    await store.create(record, inputs, { durable: false, reserveBytes: 1000 });
    expect(store.usedBytes() - before).toBe(neededBytes);
    expect(store.bytesOf(record.id)).toBe(neededBytes - 1000);
  });

  it('takes a job for removed whose folder somebody else has removed', async () => {
    const { id } = await create();
    rmSync(join(directory, id), { recursive: true });
    await store.remove(id);
    expect(store.usedBytes()).toBe(0);
    await expect(store.readRecord(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('removes twice, at the same time, and what is not there', async () => {
    const { id } = await create();
    await Promise.all([store.remove(id), store.remove(id)]);
    await store.remove(id);
    await store.remove('../../etc');
    await expect(store.readRecord(id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(() => store.bytesOf(id)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    expect(store.usedBytes()).toBe(0);
  });

  it('refuses a job that is there already and leaves it as it is', async () => {
    const record = await create();
    await expect(store.create(record, [image], { durable: true, reserveBytes: 0 })).rejects.toThrow(/is in the store already/);
    // And one whose folder belongs to something else.
    const taken = jobRecord();
    mkdirSync(join(directory, taken.id));
    writeFileSync(join(directory, taken.id, 'theirs'), 'kept');
    await expect(store.create(taken, [], { durable: true, reserveBytes: 0 })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readFileSync(join(directory, taken.id, 'theirs'), 'utf8')).toBe('kept');
    expect(await store.readInput(record.id, 0)).toEqual(input);
    expect(store.usedBytes()).toBe(store.bytesOf(record.id));
  });

  const strangeIds = [
    '',
    '.',
    '..',
    '../outside',
    '/etc',
    'a'.repeat(36),
    jobRecord().id.toUpperCase(),
    `${jobRecord().id}/x`,
    `${jobRecord().id}\n`,
  ];
  it.each(strangeIds)('makes no path of the id %j', async (id) => {
    const record = jobRecord({ id });
    const before = readdirSync(join(directory, '..'));
    await expect(store.create(record, [input], { durable: false, reserveBytes: 0 })).rejects.toThrow('UUID');
    for (const call of [
      () => store.save(record, durable),
      () => store.finish(record, [], durable),
      () => store.addPreview(id, preview(1)),
      () => store.readPreviews(id),
      () => store.readRecord(id),
      () => store.readInput(id, 0),
      () => store.readImage(id, 0),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
    expect(readdirSync(directory)).toEqual(['lock']);
    expect(readdirSync(join(directory, '..'))).toEqual(
      expect.arrayContaining(before.filter((name) => name.startsWith('qwen-store-'))),
    );
  });

  it.each([1, -1, 0.5, NaN, Infinity, '0/../job.json'])('finds no picture %j', async (index) => {
    const { id } = await create();
    await expect(store.readInput(id, index as number)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.readImage(id, index as number)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('gives previews in order of their events, without the ones that cannot be read', async () => {
    const { id } = await create();
    for (const eventId of [10, 9, 2 ** 40, 0, 11]) await store.addPreview(id, preview(eventId));
    expect((await store.readPreviews(id)).map((event) => event.id)).toEqual([0, 9, 10, 11, 2 ** 40]);
    writeFileSync(join(directory, id, 'preview-9.json'), '{"id":9,');
    writeFileSync(join(directory, id, 'preview-10.json'), '[]');
    rmSync(join(directory, id, 'preview-11.json'));
    await reopen();
    expect(await store.readPreviews(id)).toEqual([preview(0), preview(2 ** 40)]);
    await expect(store.addPreview(id, preview(-1))).rejects.toThrow('the id of an event');
    await expect(store.addPreview(id, preview(0.5))).rejects.toThrow('the id of an event');
  });

  it('lends pixels as a file for as long as they are used, and counts them not', async () => {
    const record = await create();
    const used = store.usedBytes();
    const pixels = Buffer.alloc(10_000, 7);
    const seen = await store.withPixelFile(record.id, pixels, async (path) => {
      expect(readFileSync(path)).toEqual(pixels);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(store.usedBytes()).toBe(used);
      return Promise.resolve(path);
    });
    expect(seen.startsWith(join(directory, record.id))).toBe(true);
    const failing = store.withPixelFile(record.id, pixels, () => Promise.reject(new Error('the run failed')));
    await expect(failing).rejects.toThrow('the run failed');
    expect(filesOf(record)).toEqual(['input-0', 'job.json']);
    await expect(store.withPixelFile(jobRecord().id, pixels, (path) => Promise.resolve(path))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('takes away pixels that a killed server has lent, and follows no link in their place', async () => {
    const record = await create();
    const elsewhere = join(directory, 'elsewhere');
    writeFileSync(elsewhere, 'mine');
    await store.withPixelFile(record.id, Buffer.alloc(3), async (path) => {
      rmSync(path);
      symlinkSync(elsewhere, path);
      await expect(store.withPixelFile(record.id, Buffer.alloc(3), () => Promise.resolve())).rejects.toThrow('ELOOP');
      writeFileSync(path, 'of a killed server');
      expect(await reopen()).toEqual([record]);
    });
    expect(filesOf(record)).toEqual(['input-0', 'job.json']);
    expect(readFileSync(elsewhere, 'utf8')).toBe('mine');
  });

  it('counts files and what is kept free, over restarts', async () => {
    const record = await create({}, 1000);
    const recordBytes = (): number => statSync(join(directory, record.id, 'job.json')).size;
    expect(store.bytesOf(record.id)).toBe(recordBytes() + input.length);
    expect(store.usedBytes()).toBe(recordBytes() + input.length + 1000);
    await store.addPreview(record.id, preview(1));
    const withPreview = store.usedBytes();
    expect(withPreview).toBe(recordBytes() + input.length + 1000 + statSync(join(directory, record.id, 'preview-1.json')).size);
    await reopen();
    expect(store.usedBytes()).toBe(withPreview);
    await store.finish(completed(record, [image, image]), [image, image], durable);
    const ended = store.bytesOf(record.id);
    expect(ended).toBe(filesOf(record).reduce((sum, name) => sum + statSync(join(directory, record.id, name)).size, 0));
    expect(store.usedBytes()).toBe(ended);
    // Again, as after a failure that came at the very end.
    await store.finish(completed(record, [image, image]), [image, image], durable);
    expect(store.usedBytes()).toBe(ended);
    await reopen();
    expect(store.usedBytes()).toBe(ended);
    await store.remove(record.id);
    expect(store.usedBytes()).toBe(0);
  });

  it('refuses what would be more than all jobs may have, also of two that come at once', async () => {
    const { id } = await create({}, 500);
    const each = store.usedBytes();
    await store.remove(id);
    await reopen(2 * each);
    await create({}, 500);
    const both = await Promise.allSettled([create({}, 500), create({}, 500)]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(both[1]).toMatchObject({
      reason: {
        code: 'STORAGE_FULL',
        message: expect.stringMatching(`of the ${2 * each} .* \\(jobs.maxBytes\\) ${2 * each} are taken`),
      },
    });
    expect(JSON.stringify(both[1])).not.toContain(directory);
    expect(readdirSync(directory)).toHaveLength(3);
    expect(store.usedBytes()).toBe(2 * each);
    expect(await reopen(2 * each)).toHaveLength(2);
    await expect(create()).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  });

  it('refuses a reserve that is no number', async () => {
    await reopen(1e9);
    await expect(create({}, NaN)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  });

  it('leaves no job and counts nothing when it could not be written', async () => {
    const inputs = Array.from({ length: 3 }, () => input);
    const record = jobRecord();
    // Its third file cannot be: no Buffer.
    const create = store.create(record, [...inputs.slice(0, 2), { length: 1 } as never], { durable: true, reserveBytes: 5 });
    await expect(create).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    expect(readdirSync(directory)).toEqual(['lock']);
    expect(store.usedBytes()).toBe(0);
  });

  it('refuses a record that could not be read again', async () => {
    await expect(create({ token: 'x'.repeat(17_000_000) })).rejects.toThrow('at most 16777216 can be read again');
    expect(readdirSync(directory)).toEqual(['lock']);
  });

  it('closes its folder and files to other users, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      const record = await create();
      await store.addPreview(record.id, preview(1));
      await store.finish(completed(record, [image]), [image], durable);
      expect(statSync(join(directory, record.id)).mode & 0o7777).toBe(0o700);
      const modes = filesOf(record).map((name) => [name, statSync(join(directory, record.id, name)).mode & 0o7777]);
      expect(modes).toEqual(['image-0', 'job.json', 'preview-1.json'].map((name) => [name, 0o600]));
      expect(statSync(join(directory, 'lock')).mode & 0o7777).toBe(0o600);
      const deep = join(directory, 'a', 'b');
      const other = new FileJobStore({ directory: deep, maxBytes: 1 });
      await other.open();
      await other.close();
      expect(statSync(deep).mode & 0o7777).toBe(0o700);
    } finally {
      process.umask(umask);
    }
  });

  it('tells how long durable changes waited for the disk, and of no others', async () => {
    const waits: number[] = [];
    await store.close();
    store = new FileJobStore({ directory, maxBytes: Infinity, onSync: (ms) => waits.push(ms) });
    await store.open();
    const record = await create();
    await store.save(record, quick);
    await store.addPreview(record.id, preview(1));
    expect(waits).toEqual([]);
    await store.create(jobRecord(), [], { durable: true, reserveBytes: 0 });
    await store.save(record, durable);
    await store.finish(completed(record, []), [], durable);
    expect(waits).toHaveLength(3);
    for (const ms of waits) expect(ms).toBeGreaterThan(0);
  });

  it('ends what was begun before it closes, twice; then takes nothing', async () => {
    const record = await create();
    const saved = store.save({ ...record, attempt: 7 }, durable);
    await Promise.all([store.close(), store.close()]);
    await saved;
    await expect(store.save(record, durable)).rejects.toThrow('not open');
    await expect(create()).rejects.toThrow('not open');
    await expect(store.remove(record.id)).rejects.toThrow('not open');
    expect((await reopen())[0]?.attempt).toBe(7);
    await expect(store.open()).rejects.toThrow('open already');
    expect(await store.readRecord(record.id)).toMatchObject({ attempt: 7 });
  });

  it('closes while it opens', async () => {
    await create();
    await store.close();
    const opened = store.open();
    await store.close();
    expect(await opened).toHaveLength(1);
    expect(await reopen()).toHaveLength(1);
  });

  it('works behind a link to its folder, and says why it cannot use one', async () => {
    const link = join(directory, 'link');
    mkdirSync(join(directory, 'real'));
    symlinkSync(join(directory, 'real'), link);
    const linked = new FileJobStore({ directory: link, maxBytes: Infinity });
    await linked.open();
    const record = jobRecord();
    await linked.create(record, [], { durable: true, reserveBytes: 0 });
    await linked.close();
    expect(existsSync(join(directory, 'real', record.id, 'job.json'))).toBe(true);
    writeFileSync(join(directory, 'file'), '');
    const file = join(directory, 'file');
    await expect(new FileJobStore({ directory: file, maxBytes: 1 }).open()).rejects.toThrow(
      `jobs.directory: ${file} cannot be used: it is not a folder`,
    );
    const below = join(file, 'below');
    await expect(new FileJobStore({ directory: below, maxBytes: 1 }).open()).rejects.toThrow(
      `jobs.directory: ${below} cannot be used: ENOTDIR`,
    );
  });
});
