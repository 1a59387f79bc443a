import { answerOf, Client, errorOf, firstOf, picturesOf, small, type Picture } from '../e2e/client.js';
import { HostGate } from '../e2e/host-gate.js';
import { Jobs } from '../e2e/jobs.js';
import { eventually, isRunning, Server, type LogRecord } from '../e2e/server.js';

/* The engine host of a serving server dies or hangs in every way it can. */

const long = { ...small, width: 256, height: 256, num_inference_steps: 100 };
const hangMs = 4000;

async function pictureOf(answer: Promise<Response>): Promise<Picture> {
  return firstOf(await picturesOf(await answerOf(await answer)));
}

describe('a server whose engine host dies', () => {
  const gate = new HostGate();
  let server: Server;
  let client: Client;
  let asBefore: { long: Picture; small: Picture };
  beforeAll(async () => {
    server = new Server([], gate.variables);
    await server.logged(/^model loaded/);
    client = new Client(server);
    asBefore = { long: firstOf(await client.draw(long)), small: firstOf(await client.draw(small)) };
  });
  afterAll(async () => {
    gate.end();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it.each(['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const)('of %s in the middle of a job draws it again', async (signal) => {
    const host = server.hostPid();
    const logged = server.log.length;
    const job = client.postJson(long);
    await client.queueIs({ running: 1 });
    const waiting = client.postJson(small);
    await client.queueIs({ running: 1, pending: 1 });
    gate.close();
    process.kill(host, signal);

    await server.logged(/^the engine is restarting/, logged);
    const health = await client.get('/health');
    expect([health.status, await health.json()]).toMatchObject([
      503,
      { status: 'restarting', queue: { pending: 2, running: 0 } },
    ]);
    expect(health.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect((await client.get('/health/live')).status).toBe(200);
    expect((await client.get('/health/ready')).status).toBe(503);
    const refused = await client.postJson(small);
    expect(refused.headers.get('x-should-retry')).toBeNull();
    expect(await errorOf(refused)).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });

    gate.open();
    expect((await pictureOf(job)).data.equals(asBefore.long.data)).toBe(true);
    expect((await pictureOf(waiting)).data.equals(asBefore.small.data)).toBe(true);
    // By the server's own word: answers may be read in any order.
    const ends = () => server.log.slice(logged).filter(({ message }) => message === 'job completed');
    await eventually('both ends are logged', () => ends().length === 2);
    const ids = [await job, await waiting].map(({ headers }) => headers.get('x-job-id'));
    expect(ends().map(({ jobId }) => jobId)).toEqual(ids);
    expect((await client.get('/health')).status).toBe(200);
    expect(server.hostPid()).not.toBe(host);
  });

  it('tells how often it happened', async () => {
    expect(await (await client.get('/health')).json()).toMatchObject({ status: 'ok', engine: { restarts: 3 } });
    const metrics = await (await client.get('/metrics')).text();
    expect(metrics).toContain('\nqwen_image_engine_restarts_total 3\n');
    expect(metrics).toContain('\nqwen_image_jobs_ended_total{status="completed"} 8\n');
    expect(metrics).toContain('\nqwen_image_requests_rejected_total{reason="ENGINE_UNAVAILABLE"} 3\n');
  });
});

describe('a job', () => {
  let gate: HostGate;
  let server: Server;
  let client: Client;
  beforeEach(async () => {
    gate = new HostGate();
    server = new Server(['--set', `engine.hangMs=${hangMs}`], gate.variables);
    await server.logged(/^model loaded/);
    client = new Client(server);
  });
  afterEach(async () => {
    gate.end();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** Ends the host under the job that runs now, and waits for the next one. */
  async function killHost(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await client.queueIs({ running: 1 });
    const logged = server.log.length;
    process.kill(server.hostPid(), signal);
    await server.logged(/^model loaded/, logged);
  }

  it('that takes two hosts down fails, does not run again and harms no other', async () => {
    const before = firstOf(await client.draw(small));
    const poison = client.postJson(long);
    await client.queueIs({ running: 1 });
    const waiting = pictureOf(client.postJson(small));
    await client.queueIs({ running: 1, pending: 1 });
    await killHost();
    await killHost();
    const answer = await poison;
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(await errorOf(answer)).toMatchObject({ status: 503, code: 'ENGINE_CRASHED' });
    expect((await waiting).data.equals(before.data)).toBe(true);
    expect(firstOf(await client.draw(small)).data.equals(before.data)).toBe(true);
    await client.queueIs({ running: 0, pending: 0 });
  });

  it('whose host hangs is drawn again by the next', async () => {
    const before = firstOf(await client.draw(long));
    const host = server.hostPid();
    const job = pictureOf(client.postJson(long));
    await killHost('SIGSTOP');
    expect(server.log.map(({ message }) => message)).toContain(
      `the engine host hangs and is killed: no sign of life for ${hangMs} ms`,
    );
    expect(isRunning(host)).toBe(false);
    expect((await job).data.equals(before.data)).toBe(true);
  });

  describe('whose host hangs', () => {
    /** The server told the client first; gives what it logged when it noticed. */
    async function noticedAfter(answered: RegExp): Promise<LogRecord> {
      const noticed = await server.logged(/^the engine host hangs/);
      const told = await server.logged(answered);
      expect(server.log.indexOf(told)).toBeLessThan(server.log.indexOf(noticed));
      return noticed;
    }

    it('has its answer when its time is over', async () => {
      process.kill(server.hostPid(), 'SIGSTOP');
      const answer = await client.postJson({ ...small, timeout_ms: 500 });
      expect(await errorOf(answer)).toMatchObject({ status: 504, code: 'DEADLINE_EXCEEDED' });
      const noticed = await noticedAfter(/^POST \/text-to-image 504/);
      // Until the next host has its model, requests are refused.
      await server.logged(/^model loaded/, server.log.indexOf(noticed));
      expect(firstOf(await client.draw(small)).width).toBe(small.width);
    });

    it('is cancelled when somebody asks for that', async () => {
      const jobs = new Jobs(server);
      const { id } = await jobs.submit(long);
      await client.queueIs({ running: 1 });
      process.kill(server.hostPid(), 'SIGSTOP');
      expect(await jobs.cancel(id)).toMatchObject({ status: 'cancelled', error: { code: 'CANCELLED' } });
      await noticedAfter(/^DELETE \/jobs\/\S+ 200/);
      await client.queueIs({ running: 0, pending: 0 });
      expect(await jobs.read(id)).toMatchObject({ status: 'cancelled', attempt: 1 });
    });
  });

  it('goes on in the same host when the machine slept', async () => {
    const host = server.hostPid();
    const job = pictureOf(client.postJson(long));
    await client.queueIs({ running: 1 });
    for (const pid of [server.pid, host]) process.kill(pid, 'SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 2 * hangMs));
    for (const pid of [server.pid, host]) process.kill(pid, 'SIGCONT');
    await job;
    expect(server.hostPid()).toBe(host);
  });

  it('of a client that has gone is not drawn again', async () => {
    const leave = new AbortController();
    const gone = fetch(`${server.url}/text-to-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(long),
      signal: leave.signal,
    }).catch(() => 'gone');
    await client.queueIs({ running: 1 });
    const logged = server.log.length;
    gate.close();
    process.kill(server.hostPid(), 'SIGKILL');
    await server.logged(/^the engine is restarting/, logged);
    leave.abort();
    expect(await gone).toBe('gone');
    await client.queueIs({ running: 0, pending: 0 });
    gate.open();
    await server.logged(/^model loaded/, logged);
    const metrics = await (await client.get('/metrics')).text();
    expect(metrics).toContain('\nqwen_image_jobs_ended_total{status="cancelled"} 1\n');
  });

  it('that waits for the next host is interrupted when the server stops', async () => {
    const job = client.postJson(long);
    await client.queueIs({ running: 1 });
    const logged = server.log.length;
    gate.close();
    process.kill(server.hostPid(), 'SIGKILL');
    await server.logged(/^the engine is restarting/, logged);
    server.kill('SIGTERM');
    const answer = await job;
    gate.open();
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await errorOf(answer)).toMatchObject({ status: 503, code: 'INTERRUPTED' });
    await eventually('the server has ended', () => !isRunning(server.pid));
  });
});
