import { randomBytes, randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { JobRecord } from '../../libs/inference/src/job.types.js';
import { Client, small } from '../e2e/client.js';
import { eventually, Server } from '../e2e/server.js';
import { mayMount } from '../fixtures/may-mount.js';
import { pictureOfFolder } from './folder-picture.js';
import type { JobAnswer } from '../e2e/jobs.js';
import { hashOf, type JobClient } from './job-client.js';
import { Service } from './service.js';

/* What a server makes of a jobs.directory that holds more than jobs, and of one that it cannot have. */

type ChangesOf = (record: JobRecord) => object;

describe('a folder that holds all kinds of things', () => {
  const service = new Service();
  const elsewhere = mkdtempSync(join(tmpdir(), 'qwen-elsewhere-'));
  const { folder } = service;
  const corrupt = join(folder, 'corrupt');
  const waiting = { ...small, seed: 2 };
  /** Reasons by the ids of what looks like a job and is none. */
  const broken = new Map<string, RegExp>();
  const foreign: string[] = [];
  let ended: JobAnswer;
  let endedHash: string;
  let queued: string[];
  /** Of a newer server: it has ended, so that there is nothing that this one would have to be able to do. */
  let newer: string;
  let before: Record<string, string>;

  beforeAll(async () => {
    const client = await service.begin('server.shutdownGraceMs=1');
    const { id } = await client.accepted(small);
    ended = await client.completed(id);
    endedHash = await client.pictureHash(id);
    client.server.pauseHost();
    const running = await client.accepted({ ...small, num_inference_steps: 200 });
    queued = [running.id, (await client.accepted(waiting)).id];
    await client.queueIs({ running: 1, pending: 1 });
    client.server.kill('SIGTERM');
    await client.server.logged(/^stopping/);
    client.server.resumeHost();
    expect(await client.server.ended).toMatchObject({ code: 0 });
    const error = { code: 'TOO_NEW', message: 'too new', param: null, faults: [], retryAfterS: null };
    newer = copyOf(id, ({ request }) => ({ state: 'failed', error, request: { ...request, kind: 'layered' } }));
    breakJobs();
    addOthers();
    before = pictureOfAll();
  });
  afterAll(async () => {
    await service.end();
    rmSync(elsewhere, { recursive: true });
  });

  function textOf(id: string): string {
    return readFileSync(join(folder, id, 'job.json'), 'utf8');
  }

  /** As it lies on the disk, with these changes and an id of its own. */
  function copyOf(from: string, changesOf: ChangesOf = () => ({})): string {
    const id = randomUUID();
    cpSync(join(folder, from), join(folder, id), { recursive: true });
    const record = JSON.parse(textOf(from)) as JobRecord;
    writeFileSync(join(folder, id, 'job.json'), JSON.stringify({ ...record, id, ...changesOf(record) }));
    return id;
  }

  function plant(from: string, reason: RegExp, changesOf?: ChangesOf): string {
    const id = copyOf(from, changesOf);
    broken.set(id, reason);
    return id;
  }

  function plantText(text: string | Buffer, reason: RegExp): void {
    writeFileSync(join(folder, plant(ended.id, reason), 'job.json'), text);
  }

  function breakJobs(): void {
    const waits = queued[1]!;
    const text = textOf(waits);
    plantText('', /^job\.json: 0 bytes that are not JSON$/);
    plantText(text.slice(0, text.length / 2), /^job\.json: \d+ bytes that are not JSON$/);
    plantText(randomBytes(4096), /^job\.json: 4096 bytes that are not JSON$/);
    plantText(text, /^job\.json: id: of another job, /);
    plantText('[]', /^job\.json: the file must be an object$/);
    plant(waits, /^job\.json: format must be one of 1$/, () => ({ format: 2 }));
    plant(waits, /^job\.json: request\.generate\.width must be a whole number from 0$/, ({ request }) => ({
      request: { ...request, generate: { ...request.generate, width: 'wide' } },
    }));
    plant(waits, /^job\.json: request\.kind must be one of text-to-image, image-to-image$/, ({ request }) => ({
      request: { ...request, kind: 'inpaint' },
    }));
    plant(ended.id, /^job\.json: finishedAt: null, but the state is completed$/, () => ({ finishedAt: null }));
    truncateSync(join(folder, plant(waits, /^job\.json: 5000000000 bytes, at most \d+ are allowed$/), 'job.json'), 5e9);
    rmSync(join(folder, plant(ended.id, /^image-0: \d+ bytes are missing, got no file$/), 'image-0'));
    rmSync(join(folder, plant(ended.id, /ENOENT.*job\.json/), 'job.json'));
    const linked = join(folder, plant(ended.id, /ELOOP.*job\.json/), 'job.json');
    writeFileSync(join(elsewhere, 'job.json'), textOf(basename(join(linked, '..'))));
    rmSync(linked);
    symlinkSync(join(elsewhere, 'job.json'), linked);
    const [link, file] = [randomUUID(), randomUUID()];
    symlinkSync(elsewhere, join(folder, link));
    writeFileSync(join(folder, file), text);
    for (const id of [link, file]) broken.set(id, /^not a folder$/);
  }

  function addOthers(): void {
    const copy = (name: string) => cpSync(join(folder, queued[1]!), join(folder, name), { recursive: true });
    for (const name of [queued[1]!.toUpperCase(), `${queued[1]}.old`, `copy of ${queued[1]}`, 'a job']) copy(name);
    writeFileSync(join(folder, 'README'), 'theirs');
    writeFileSync(join(folder, 'backup.tmp'), 'theirs');
    mkdirSync(join(folder, 'notes.tmp'));
    writeFileSync(join(folder, 'notes.tmp/job.json.tmp'), 'theirs');
    symlinkSync('/nowhere/at/all', join(folder, 'link'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    foreign.push(...readdirSync(folder).filter((name) => !/^[\da-f]{8}-[\da-f-]{27}$/.test(name) && name !== 'lock'));
  }

  /** Of what no server may change; broken jobs wherever they lie. */
  function pictureOfAll(): Record<string, string> {
    const placeOf = (id: string) => (existsSync(join(corrupt, id)) ? corrupt : folder);
    const paths = [elsewhere, ...foreign.map((name) => join(folder, name))];
    const pictures = paths.map((path) => pictureOfFolder(path));
    for (const id of broken.keys()) {
      const entries = Object.entries(pictureOfFolder(join(placeOf(id), id)));
      pictures.push(Object.fromEntries(entries.map(([path, what]) => [path.slice(placeOf(id).length), what])));
    }
    return Object.assign({}, ...pictures) as Record<string, string>;
  }

  async function expectServed(client: JobClient): Promise<void> {
    expect(await client.job(ended.id)).toEqual(ended);
    expect(await client.pictureHash(ended.id)).toBe(endedHash);
    const error = { code: 'TOO_NEW', type: 'server_error', message: 'too new' };
    expect(await client.job(newer)).toMatchObject({ kind: 'layered', status: 'failed', error });
    for (const id of broken.keys()) expect((await client.get(`/jobs/${id}`)).status).toBe(404);
  }

  it('is cleared of what is broken with a line for each, and its jobs are served and drawn', async () => {
    const client = await service.begin();
    const { server } = client;
    await expectServed(client);
    for (const id of queued) expect(await client.completed(id)).toMatchObject({ attempt: 1 });
    expect(await client.pictureHash(queued[1]!)).toBe(await hashOf(await client.postJson(waiting, { accept: 'image/png' })));

    const told = server.log.filter(({ level }) => level !== 'info').map(({ level, message }) => `${level} ${message}`);
    expect(told).toHaveLength(broken.size);
    for (const [id, reason] of broken) {
      const begin = `error job ${id} cannot be read and was moved from ${join(folder, id)} to ${join(corrupt, id)}: `;
      const reasons = told.filter((line) => line.startsWith(begin)).map((line) => line.slice(begin.length));
      expect(reasons).toEqual([expect.stringMatching(reason)]);
    }
    expect(server.log.map(({ message }) => message)).toContain('2 unfinished jobs of an earlier run are taken up');
    expect(JSON.stringify(server.log)).not.toContain(small.prompt);
    expect(readdirSync(corrupt).sort()).toEqual([...broken.keys()].sort());
    expect(pictureOfAll()).toEqual(before);
    expect(await server.stop()).toMatchObject({ code: 0, stderr: '' });
  });

  it('says nothing of it to the next server', async () => {
    const client = await service.begin();
    await expectServed(client);
    for (const id of queued) expect(await client.job(id)).toMatchObject({ status: 'completed', attempt: 1 });
    expect(await client.server.stop()).toMatchObject({ code: 0, stderr: '' });
    expect(client.server.log.filter(({ level }) => level !== 'info')).toEqual([]);
    expect(pictureOfAll()).toEqual(before);
  });

  it('loses its jobs when their time is over, and nothing else', async () => {
    const client = await service.begin('jobs.ttlMs=1');
    await eventually('the jobs have gone', () => [ended.id, newer, ...queued].every((id) => !existsSync(join(folder, id))));
    expect((await client.get(`/jobs/${ended.id}`)).status).toBe(404);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
    expect(pictureOfAll()).toEqual(before);
    expect(service.storedJobs()).toEqual([]);
  });
});

describe('a folder that cannot be had', () => {
  let place: string;
  let folder: string;
  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'qwen-place-'));
    folder = join(place, 'jobs');
  });
  afterEach(() => rmSync(place, { recursive: true }));

  /** One line that names the key, and nothing is changed. */
  async function expectNoStart(directory: string, reason: string): Promise<void> {
    const before = pictureOfFolder(place);
    const server = new Server(['--set', `jobs.directory=${directory}`]);
    const begin = `the server cannot start: jobs.directory: ${directory} cannot be used: `;
    const { code, signal, stderr } = await server.ended;
    expect([code, signal, stderr.slice(0, begin.length), stderr.at(-1)]).toEqual([1, null, begin, '\n']);
    expect(stderr.slice(begin.length, -1)).toMatch(new RegExp(`^${reason}$`));
    expect([server.log, server.text]).toEqual([[], '']);
    expect(pictureOfFolder(place)).toEqual(before);
  }

  it('because another server has it, which goes on', async () => {
    const first = await Server.listening('--set', `jobs.directory=${folder}`);
    await expectNoStart(folder, 'another server uses it');
    symlinkSync(folder, join(place, 'link'));
    await expectNoStart(join(place, 'link'), 'another server uses it');
    await first.logged(/^model loaded/);
    await hashOf(await new Client(first).postJson(small, { accept: 'image/png' }));
    expect(await first.stop()).toMatchObject({ code: 0 });
  });

  const obstacles: [what: string, put: () => void, reason: string][] = [
    ['it is a file', () => writeFileSync(folder, 'theirs'), 'it is not a folder'],
    ['it is a link to nothing', () => symlinkSync('/nowhere/at/all', folder), 'ENOENT: .*'],
    ['it is a link to itself', () => symlinkSync('jobs', folder), 'ELOOP: .*'],
    ['its lock is a folder', () => mkdirSync(join(folder, 'lock'), { recursive: true, mode: 0o700 }), "EISDIR: .*/jobs/lock'"],
    [
      'its lock is a link',
      () => {
        mkdirSync(folder, { mode: 0o700 });
        symlinkSync('/nowhere/at/all', join(folder, 'lock'));
      },
      "ELOOP: .*/jobs/lock'",
    ],
  ];
  it.each(obstacles)('because %s', async (_what, put, reason) => {
    put();
    await expectNoStart(folder, reason);
  });

  it('because a file is above it', async () => {
    writeFileSync(folder, 'theirs');
    await expectNoStart(join(folder, 'below'), 'ENOTDIR: .*');
  });

  it('because no folder can be made there', async () => {
    await expectNoStart('/proc/jobs', "ENOENT: .*'/proc/jobs'");
  });

  const withDisk = mayMount() ? it : it.skip;
  if (withDisk === it.skip) process.stderr.write('not tested: a read-only disk (this user may not mount a tmpfs; root may)\n');

  withDisk('because its disk is read-only', async () => {
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=700,size=1m', 'tmpfs', folder]);
    try {
      writeFileSync(join(folder, 'lock'), '');
      execFileSync('mount', ['-o', 'remount,ro', folder]);
      await expectNoStart(folder, "EROFS: .*/jobs/lock'");
      await expectNoStart(join(folder, 'below'), "EROFS: .*/jobs/below'");
    } finally {
      execFileSync('umount', [folder]);
    }
  });
});
