import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, small } from '../e2e/client.js';
import { eventually } from '../e2e/server.js';
import { mayMount } from '../fixtures/may-mount.js';
import { hashOf, type JobClient } from './job-client.js';
import { Service } from './service.js';

/* No room for jobs: on the disk, or in what jobs.maxBytes lets them have. */

const megabyte = 1024 * 1024;
/** Its results are promised some megabytes. */
const large = { ...small, width: 1024, height: 1024, num_inference_steps: 200 };
const long = { ...small, width: 128, height: 128, num_inference_steps: 40 };

async function expectStorageFull(answer: Response, message: RegExp): Promise<void> {
  expect(answer.status).toBe(507);
  expect(answer.headers.get('x-should-retry')).toBeNull();
  for (const header of ['x-job-id', 'location', 'retry-after']) expect(answer.headers.get(header)).toBeNull();
  expect(await answer.json()).toEqual({
    error: {
      code: 'STORAGE_FULL',
      type: 'server_error',
      message: expect.stringMatching(message),
      param: null,
      request_id: answer.headers.get('x-request-id'),
    },
  });
}

async function healthBecomes(client: JobClient, wanted: string): Promise<{ status: number; body: unknown }> {
  let last: { status: number; body: { status?: string } } = { status: 0, body: {} };
  await eventually(`/health tells ${wanted}`, async () => {
    const answer = await client.get('/health');
    last = { status: answer.status, body: (await answer.json()) as { status: string } };
    return last.body.status === wanted;
  });
  return last;
}

function cancel(client: JobClient, id: string): Promise<Response> {
  return fetch(`${client.server.url}/jobs/${id}`, { method: 'DELETE' });
}

const withDisk = mayMount() ? describe : describe.skip;
if (withDisk === describe.skip) process.stderr.write('not tested: a full disk (this user may not mount a tmpfs; root may)\n');

withDisk('a server on a small disk', () => {
  let disk: string;
  let service: Service;
  beforeEach(() => {
    disk = mkdtempSync(join(tmpdir(), 'qwen-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=700,size=24m', 'tmpfs', disk]);
    service = new Service(join(disk, 'jobs'));
  });
  afterEach(async () => {
    await service.end();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });

  /** Another program's file, which leaves so much. */
  function fill(leftBytes = 0): string {
    const path = join(disk, 'foreign');
    const blocks = Math.floor(leftBytes / 4096);
    const available = Number(execFileSync('df', ['--output=avail', '-B4096', disk], { encoding: 'utf8' }).split('\n')[1]);
    const { status } = spawnSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=4096', `count=${available - blocks}`]);
    expect(status).toBe(0);
    return path;
  }

  async function runIsStored(id: string): Promise<void> {
    await eventually(`the run of job ${id} is stored`, () => service.storedJob(id).state === 'running');
  }

  it('refuses what it has no room for before it accepts it, keeps what it accepted, and goes on when there is room', async () => {
    const client = await service.begin();
    const accepted = await client.accepted(long);
    const foreign = fill(4 * megabyte);
    const refusals = [
      await client.postJson(small),
      await client.postJson(small, { prefer: 'respond-async' }),
      await client.keyed('key', small),
    ];
    for (const answer of refusals) {
      await expectStorageFull(answer, /^the job was not accepted: the server's disk has too little free space$/);
    }
    expect(service.storedJobs().map(({ id }) => id)).toEqual([accepted.id]);
    expect(readdirSync(service.folder).sort()).toEqual([accepted.id, 'lock'].sort());
    await client.completed(accepted.id);
    const metrics = await (await client.get('/metrics')).text();
    expect(metrics).toContain('\nqwen_image_jobs_accepted_total 1\n');
    expect(metrics).toContain('\nqwen_image_requests_rejected_total{reason="STORAGE_FULL"} 3\n');
    const failed = await healthBecomes(client, 'failed');
    expect(failed).toMatchObject({ status: 503, body: { disk: { error: "the server's disk has too little free space" } } });
    expect((await client.get('/health/ready')).status).toBe(503);
    expect(client.server.log.filter(({ message }) => message.includes('a job was not stored'))).toHaveLength(3);

    unlinkSync(foreign);
    expect((await answerOf(await client.postJson(small))).images).toHaveLength(1);
    expect((await client.keyed('key', small)).status).toBe(200);
    expect(await healthBecomes(client, 'ok')).toMatchObject({ status: 200, body: { disk: { error: null } } });
    const told = client.server.log.map(({ level, message }) => `${level} ${message}`);
    const { folder } = service;
    expect(
      told.filter((line) => line.startsWith(`error no job can be stored in ${folder}, the service is not ready: `)),
    ).toHaveLength(1);
    expect(told.filter((line) => line === `info jobs can be stored in ${folder} again`)).toHaveLength(1);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('refuses what does not fit beside all that it has promised', async () => {
    const client = await service.begin();
    const promised: string[] = [];
    let answer = await client.postJson(large, { prefer: 'respond-async' });
    for (; answer.status === 202; answer = await client.postJson(large, { prefer: 'respond-async' })) {
      promised.push(((await answer.json()) as { id: string }).id);
    }
    await expectStorageFull(answer, /too little free space/);
    expect(promised.length).toBeGreaterThan(1);
    for (const id of promised.reverse()) expect((await cancel(client, id)).status).toBe(200);
    expect((await client.postJson(small)).status).toBe(200);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('gives clients their pictures when the disk fills up meanwhile, and stores them when there is room', async () => {
    // How often storing is tried again goes by it.
    const client = await service.begin('jobs.ttlMs=5000');
    const undisturbed = await hashOf(await client.postJson(long, { accept: 'image/png' }));
    client.server.pauseHost();
    const asynchronous = await client.accepted(long);
    const keyed = client.keyed('full', long);
    await client.queueIs({ running: 1, pending: 1 });
    await runIsStored(asynchronous.id);
    const reader = await client.events(asynchronous.id);
    const foreign = fill();
    client.server.resumeHost();

    expect(await hashOf(await keyed)).toBe(undisturbed);
    await client.completed(asynchronous.id);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ name: 'completed', data: { attempt: 1 } });
    expect(await client.pictureHash(asynchronous.id)).toBe(undisturbed);
    expect(await hashOf(await client.keyed('full', long))).toBe(undisturbed);
    const stored = join(service.folder, asynchronous.id);
    expect(existsSync(join(stored, 'image-0'))).toBe(false);
    expect(service.storedJob(asynchronous.id).state).not.toBe('completed');
    await client.server.logged(/^the end of job .* cannot be stored and is kept in memory/);

    unlinkSync(foreign);
    await eventually('it is stored', () => existsSync(stored) && service.storedJob(asynchronous.id).state === 'completed');
    expect(await client.pictureHash(asynchronous.id)).toBe(undisturbed);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('stores at its end what had no room before', async () => {
    let client = await service.begin();
    client.server.pauseHost();
    const { id } = await client.accepted(long);
    await runIsStored(id);
    const foreign = fill();
    client.server.resumeHost();
    await client.completed(id);
    const hash = await client.pictureHash(id);
    unlinkSync(foreign);
    expect(await client.server.stop()).toMatchObject({ code: 0 });

    client = await service.begin();
    expect(await client.job(id)).toMatchObject({ status: 'completed', attempt: 1 });
    expect(await client.pictureHash(id)).toBe(hash);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });
});

describe('jobs.maxBytes', () => {
  const service = new Service();
  afterAll(() => service.end());

  it('makes the oldest jobs that have ended go, and never one that has not', async () => {
    // Room for the results of some such jobs, when all that have ended go.
    const client = await service.begin('jobs.maxBytes=500000');
    const detailed = { ...small, width: 256, height: 256, num_inference_steps: 2 };
    const ended: string[] = [];
    for (let seed = 1; seed <= 3; seed++) {
      const { id } = await client.accepted({ ...detailed, seed });
      await client.completed(id);
      ended.push(id);
    }
    client.server.pauseHost();
    const unfinished: string[] = [];
    let answer = await client.postJson({ ...long, num_inference_steps: 200 }, { prefer: 'respond-async' });
    for (; answer.status === 202; answer = await client.postJson(long, { prefer: 'respond-async' })) {
      unfinished.push(((await answer.json()) as { id: string }).id);
      // Those that are left are the newest.
      const there = await Promise.all(ended.map(async (id) => (await client.get(`/jobs/${id}`)).status === 200));
      expect(there).toEqual([...there].sort());
    }
    await expectStorageFull(answer, /jobs\.maxBytes/);
    expect(unfinished.length).toBeGreaterThan(1);
    for (const id of unfinished) expect((await client.job(id)).status).toMatch(/^(queued|running)$/);
    expect((await client.get(`/jobs/${ended[0]}`)).status).toBe(404);
    expect(existsSync(join(service.folder, ended[0]!))).toBe(false);

    client.server.resumeHost();
    await cancel(client, unfinished[0]!);
    for (const id of unfinished.slice(1)) await client.completed(id);
    await client.accepted(long);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });
});
