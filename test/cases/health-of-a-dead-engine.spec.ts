import { cpSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, Client, errorOf, small } from '../e2e/client.js';
import { HostGate } from '../e2e/host-gate.js';
import { Jobs } from '../e2e/jobs.js';
import { eventually, projectRoot, Server } from '../e2e/server.js';

const long = { ...small, num_inference_steps: 100 };
const pollMs = 100;
/** Some milliseconds, where the processors are free. */
const noticedWithinMs = 5000;

interface Look {
  /** By the wall clock, as the server's log. */
  beganMs: number;
  live: number;
  ready: number;
  health: number;
  /** Of the engine, as /health tells it. */
  state: string;
}

/** Looks at a server's health all the time, as an orchestrator does. */
class Watch {
  readonly looks: Look[] = [];
  private stopped = false;
  private readonly done: Promise<void>;

  constructor(private readonly client: Client) {
    this.done = this.look();
  }

  /** What it sees by itself, sooner or later. */
  async sees(ready: number): Promise<void> {
    await eventually(`/health/ready answers ${ready}`, () => this.looks.at(-1)?.ready === ready);
  }

  async stop(): Promise<readonly Look[]> {
    this.stopped = true;
    await this.done;
    return this.looks;
  }

  private async look(): Promise<void> {
    while (!this.stopped) {
      const beganMs = Date.now();
      const [live, ready, health] = await Promise.all(
        ['/health/live', '/health/ready', '/health'].map((path) => this.client.get(path)),
      );
      const { engine } = (await health!.json()) as { engine: { state: string } };
      this.looks.push({ beganMs, live: live!.status, ready: ready!.status, health: health!.status, state: engine.state });
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
}

describe('the health of a server whose engine is dead', () => {
  const gate = new HostGate();
  let server: Server;
  let client: Client;
  let asBefore: { small: Buffer; long: Buffer };
  beforeAll(async () => {
    server = new Server([], gate.variables);
    await server.logged(/^model loaded/);
    client = new Client(server);
    asBefore = { small: await client.file(small), long: await client.file(long) };
  });
  afterAll(async () => {
    gate.end();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** Kills the host that runs now, and looks until the next one is ready: it was ready, was not for a while that began at once, and is again. */
  async function expectTruthAfter(signal: NodeJS.Signals): Promise<void> {
    const watch = new Watch(client);
    await watch.sees(200);
    const logged = server.log.length;
    gate.close();
    const killedAt = Date.now();
    process.kill(server.hostPid(), signal);
    server.resumeHost(); // one that stands still dies of nothing but SIGKILL
    const noticed = await server.logged(/^the engine is restarting/, logged);
    await watch.sees(503);
    gate.open();
    await server.logged(/^model loaded/, logged);
    await watch.sees(200);
    const looks = await watch.stop();

    expect(looks.map(({ live }) => live)).toEqual(looks.map(() => 200));
    expect(looks.map(({ ready }) => ready).filter((status, i, all) => status !== all[i - 1])).toEqual([200, 503, 200]);
    const noticedAt = Date.parse(String(noticed['timestamp']));
    expect(noticedAt - killedAt).toBeLessThan(noticedWithinMs);
    expect(looks.find(({ beganMs }) => beganMs > noticedAt)?.ready).toBe(503);
    for (const { health, state } of looks)
      expect([health, state === 'ready']).toEqual(health === 200 ? [200, true] : [503, false]);
  }

  it.each(['SIGKILL', 'SIGSEGV'] as const)(
    'is not ready after its %s in the middle of a job, which is drawn by the next',
    async (signal) => {
      // It is there as long as its host, however long that is looked at before.
      server.pauseHost();
      const job = client.file(long);
      await client.queueIs({ running: 1 });
      await expectTruthAfter(signal);
      expect((await job).equals(asBefore.long)).toBe(true);
      expect((await client.file(small)).equals(asBefore.small)).toBe(true);
    },
  );

  it('is not ready when it dies idle, before anybody has sent anything', async () => {
    await expectTruthAfter('SIGKILL');
    expect((await client.file(small)).equals(asBefore.small)).toBe(true);
  });

  it('does not count those who ask as work', async () => {
    const { queue } = (await (await client.get('/health')).json()) as { queue: object };
    expect(queue).toMatchObject({ pending: 0, running: 0 });
  });
});

describe('the health of a server whose engine cannot come back', () => {
  it('stays what it is, tells those who wait, and is good again when the engine is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'qwen-model-'));
    const model = join(folder, 'demo');
    cpSync(join(projectRoot, 'models/demo'), model, { recursive: true });
    const server = await Server.ready('--model', model);
    const client = new Client(server);
    const jobs = new Jobs(server);
    const asBefore = await client.file(long);

    server.pauseHost();
    const plain = client.postJson(long);
    await client.queueIs({ running: 1, pending: 0 });
    const durable = await jobs.submit(long);
    renameSync(model, join(folder, 'away'));
    process.kill(server.hostPid(), 'SIGKILL');
    const told = await plain;
    expect(told.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await errorOf(told)).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });
    const statuses = async () => Promise.all(['live', 'ready'].map(async (path) => (await client.get(`/health/${path}`)).status));
    expect(await statuses()).toEqual([200, 503]);
    expect((await client.get('/health')).status).toBe(503);
    expect(await jobs.read(durable.id)).toMatchObject({ status: 'queued', position: 1 });
    expect(await errorOf(await client.postJson(small))).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });

    const logged = server.log.length;
    renameSync(join(folder, 'away'), model);
    await server.logged(/^model loaded/, logged);
    expect(await statuses()).toEqual([200, 200]);
    expect((await jobs.picture(durable.id)).equals(asBefore)).toBe(true);
    expect((await answerOf(await client.postJson(small))).images).toHaveLength(1);
    expect(await server.stop()).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true });
  });
});
