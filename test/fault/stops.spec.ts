import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { answerOf, errorOf, fixture, small } from '../e2e/client.js';
import { HostGate } from '../e2e/host-gate.js';
import { eventually, isRunning, Server } from '../e2e/server.js';
import { RawClient } from '../fixtures/raw-client.js';
import { field, file, formOf, formType } from '../fixtures/forms.js';
import { hashOf, type JobClient } from './job-client.js';
import { Service } from './service.js';

/* SIGTERM at every stage of the life of a server and of its jobs. */

/** Its decoding takes several times as long as the host is let run in one go (`Server.stepHost`). */
const large = { ...small, width: 1024, height: 1024, num_inference_steps: 2 };
const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };
const retryAfter = expect.stringMatching(/^[1-9]\d*$/);

async function portIsFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  const free = await Promise.race([once(probe, 'listening').then(() => true), once(probe, 'error').then(() => false)]);
  probe.close();
  return free;
}

async function expectGone(server: Server, host: number): Promise<void> {
  expect(await server.ended).toMatchObject({ code: 0, signal: null });
  expect(isRunning(host)).toBe(false);
  expect(await portIsFree(server.port)).toBe(true);
}

async function expectInterrupted(answer: Promise<Response>): Promise<void> {
  const response = await answer;
  expect(await errorOf(response)).toMatchObject({ status: 503, code: 'INTERRUPTED' });
  expect(response.headers.get('retry-after')).toEqual(retryAfter);
  expect(response.headers.get('x-should-retry')).toBeNull();
}

describe('SIGTERM before anything is served', () => {
  const gate = new HostGate();
  let service: Service;
  beforeEach(() => (service = new Service(undefined, gate.variables)));
  afterEach(() => service.end());
  afterAll(() => gate.end());

  it.each(['modules', 'listen'])('ends the server at once (%s)', async (moment) => {
    const preload = join(__dirname, 'stop-early.cjs');
    const server = new Server([], { NODE_OPTIONS: `--require ${preload}`, STOP_AT: moment });
    expect(await server.ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(server.log.map(({ message }) => message)).not.toContainEqual(expect.stringMatching(/^model loaded/));
  });

  it('ends it while it loads, with jobs of an earlier server, which stay', async () => {
    const first = await service.begin();
    const { id } = await first.accepted(endless);
    await first.denoised(id, 1);
    first.server.kill('SIGKILL');
    await first.server.ended;

    gate.close();
    const server = service.start();
    await server.logged(/^engine host started/);
    const host = server.hostPid();
    server.kill('SIGTERM');
    await server.logged(/^stopping/);
    gate.open();
    await expectGone(server, host);
    // The run that the SIGKILL ended counts, the one that never came does not.
    expect(service.storedJob(id)).toMatchObject({ state: 'queued', attempt: 1 });
  });
});

describe('SIGTERM', () => {
  const service = new Service();
  /** Jobs that the last server left to the next one, none of which had run. */
  const left: string[] = [];
  let client: JobClient;
  let host: number;
  afterAll(() => service.end());

  async function begin(...settings: string[]): Promise<void> {
    client = await service.begin(...settings);
    host = client.server.hostPid();
    // What earlier servers left would be before all that comes now.
    for (const id of left) expect((await client.completed(id)).attempt).toBe(1);
    left.splice(0);
  }

  /** Brings the paused host to that stage of the job, sends the signal and waits until the server knows of it. */
  async function stopAt(id: string, stage: string): Promise<void> {
    const steps = { encoding: 0, denoising: 1, decoding: large.num_inference_steps }[stage] ?? NaN;
    await eventually(`job ${id} is at ${stage}`, async () => {
      const { status, progress } = await client.job(id);
      const isThere = status !== 'queued' && (progress?.stage === 'denoise' ? progress.step : 0) >= steps;
      if (!isThere) client.server.stepHost();
      return isThere;
    });
    const { progress, status } = await client.job(id);
    expect(status).toBe('running');
    if (stage === 'encoding') expect(progress?.stage ?? 'encode').toBe('encode');
    else expect(progress).toMatchObject({ stage: 'denoise' });
    if (stage === 'decoding') expect(progress).toMatchObject({ step: large.num_inference_steps });
    client.server.kill('SIGTERM');
    await client.server.logged(/^stopping/);
  }

  /** The next server runs it, as if for the first time; it would take too long to see that through. */
  async function expectFirstRun(id: string): Promise<void> {
    const next = await service.begin();
    await next.denoised(id, 1);
    expect(await next.job(id)).toMatchObject({ status: 'running', attempt: 1 });
    await fetch(`${next.server.url}/jobs/${id}`, { method: 'DELETE' });
    expect(await next.server.stop()).toMatchObject({ code: 0 });
  }

  it('ends an idle server at once, whoever keeps a connection', async () => {
    await begin();
    const { port } = client.server;
    const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
    for (const socket of sockets) await once(socket, 'connect');
    sockets[1]!.write('GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    await once(sockets[1]!, 'data');
    client.server.kill('SIGTERM');
    await expectGone(client.server, host);
    sockets.forEach((socket) => socket.destroy());
  });

  it.each(['encoding', 'denoising', 'decoding'])(
    'lets a job that is %s finish, and leaves or sends away what waits',
    async (stage) => {
      await begin();
      client.server.pauseHost();
      const running = await client.accepted({ ...large, prompt: stage === 'encoding' ? '7'.repeat(1000) : large.prompt });
      const keyed = client.keyed(stage, small);
      left.push(await service.idOfKey(stage));
      const plain = client.postJson(small);
      await client.queueIs({ running: 1, pending: 2 });
      const waiting = await client.accepted({ ...small, seed: 2 });
      left.push(waiting.id);
      const readers = [await client.events(running.id), await client.events(waiting.id)] as const;
      await stopAt(running.id, stage);

      await Promise.all([expectInterrupted(plain), expectInterrupted(keyed)]);
      const refused = await client.postJson(small);
      expect(refused.headers.get('retry-after')).toEqual(retryAfter);
      expect(await errorOf(refused)).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });
      expect(await client.job(waiting.id)).toMatchObject({ status: 'queued', attempt: 0 });
      client.server.resumeHost();
      await expectGone(client.server, host);

      await Promise.all(readers.map(({ ended }) => ended));
      expect(readers[0].events.at(-1)).toMatchObject({ name: 'completed', data: { id: running.id, attempt: 1 } });
      expect(readers[1].events.map(({ name }) => name)).toEqual(readers[1].events.map(() => 'queued'));
      expect(service.storedJob(running.id)).toMatchObject({ state: 'completed', attempt: 1 });
      for (const id of left) expect(service.storedJob(id)).toMatchObject({ state: 'queued', attempt: 0 });
    },
  );

  it.each(['encoding', 'denoising', 'decoding'])(
    'takes the run back of a job that is %s when the grace is over',
    async (stage) => {
      await begin('server.shutdownGraceMs=1');
      const fields = stage === 'decoding' ? large : endless;
      const asynchronous = stage !== 'denoising';
      client.server.pauseHost();
      const answer = asynchronous ? null : client.keyed('runs', fields);
      const id = asynchronous ? (await client.accepted(fields)).id : await service.idOfKey('runs');
      await stopAt(id, stage);
      client.server.resumeHost();
      if (answer) await expectInterrupted(answer);
      await expectGone(client.server, host);
      const stored = service.storedJob(id);
      // A decoding that is nearly done may be done.
      if (stage !== 'decoding') expect(stored).toMatchObject({ state: 'queued', attempt: 0, error: null });
      if (stored.state === 'queued') expect(stored.attempt).toBe(0);
      else expect(stored).toMatchObject({ state: 'completed', attempt: 1 });
      if (stored.state === 'queued') await expectFirstRun(id);
    },
  );

  it('takes the run back of a job whose host does not answer, and ends that host', async () => {
    await begin('server.shutdownGraceMs=1');
    const { id } = await client.accepted(endless);
    await client.denoised(id, 1);
    process.kill(host, 'SIGSTOP');
    client.server.kill('SIGTERM');
    await expectGone(client.server, host);
    expect(service.storedJob(id)).toMatchObject({ state: 'queued', attempt: 0 });
    await expectFirstRun(id);
  });
});

describe('SIGTERM in mid-upload', () => {
  const service = new Service();
  afterAll(() => service.end());
  const form = formOf([file('image', fixture('quadrants.png')), field('prompt', 'a red circle')]);

  async function begin(client: JobClient): Promise<RawClient> {
    const upload = await RawClient.connect(client.server.port);
    await upload.ask('POST', '/image-to-image', { 'Content-Type': formType, 'Content-Length': form.length });
    await upload.send(form.subarray(0, 300));
    return upload;
  }

  it('refuses one that ends in time, and does not wait for one that does not', async () => {
    const client = await service.begin();
    const host = client.server.hostPid();
    // The server stays as long as that.
    client.server.pauseHost();
    const running = client.postJson({ ...small, width: 128, height: 128, num_inference_steps: 40 });
    const [ends, stalls] = [await begin(client), await begin(client)];
    await client.queueIs({ running: 1 });
    client.server.kill('SIGTERM');
    await client.server.logged(/^stopping/);
    await ends.send(form.subarray(300));
    const { status, headers, text } = await ends.answer();
    expect([status, JSON.parse(text)]).toMatchObject([503, { error: { code: 'ENGINE_UNAVAILABLE' } }]);
    expect(headers['retry-after']).toEqual(retryAfter);
    client.server.resumeHost();
    expect((await answerOf(await running)).images).toHaveLength(1);
    await expectGone(client.server, host);
    await expect(stalls.answer()).rejects.toThrow();
    expect(service.storedJobs()).toHaveLength(1);
  });
});

describe('a second signal', () => {
  const service = new Service();
  afterAll(() => service.end());

  it('ends the server at once, and its jobs run in the next', async () => {
    let client = await service.begin();
    const { server } = client;
    const host = server.hostPid();
    const running = await client.accepted({ ...small, num_inference_steps: 200 });
    const waiting = await client.accepted(small);
    await client.denoised(running.id, 1);
    process.kill(host, 'SIGSTOP');
    server.kill('SIGTERM');
    await server.logged(/^stopping/);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    server.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 1 });
    process.kill(host, 'SIGCONT');
    await eventually('the host notices that its server is gone', () => !isRunning(host));

    client = await service.begin();
    expect(await client.completed(running.id)).toMatchObject({ attempt: 2 });
    expect(await client.completed(waiting.id)).toMatchObject({ attempt: 1 });
    expect(await client.pictureHash(waiting.id)).toBe(await hashOf(await client.postJson(small, { accept: 'image/png' })));
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });
});
