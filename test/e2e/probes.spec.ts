import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, Client, errorOf, small } from './client.js';
import { HostGate } from './host-gate.js';
import { eventually, newJobsFolder, projectRoot, Server } from './server.js';

const guide = 'docs/monitoring.md';
const routes = ['/health/startup', '/health/live', '/health/ready', '/health'];
/** Runs until it is stopped, as far as a test is concerned. */
const long = { ...small, width: 256, height: 256, num_inference_steps: 200 };
const quick = { ...small, num_inference_steps: 2 };

/** The rows of the guide: what the server does, and what each route answers then. */
function documented(): string[][] {
  const [, ...table] = readFileSync(join(projectRoot, guide), 'utf8').split('| the server |');
  const [, , ...lines] = (table[0] ?? '').split('\n');
  const rows = lines.slice(0, lines.indexOf('')).map((line) => line.split('|').slice(1, -1));
  return rows.map((cells) => cells.map((cell) => cell.trim()));
}

describe('the probes', () => {
  const gate = new HostGate();
  let root: string;
  let jobs: string;
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'models-'));
    mkdirSync(join(root, 'empty'));
    jobs = newJobsFolder();
    gate.close();
    await start(`model.root=${root}`, 'queue.maxPending=1', `jobs.directory=${jobs}`);
  });
  afterAll(() => {
    gate.end();
    for (const folder of [root, jobs]) rmSync(folder, { recursive: true });
  });

  async function start(...settings: string[]): Promise<void> {
    const args = settings.flatMap((setting) => ['--set', setting]);
    server = new Server(args, gate.variables);
    await server.logged(/^listening on/);
    client = new Client(server);
  }

  /** All routes at one moment. */
  async function probe(): Promise<string[]> {
    const answers = await Promise.all(routes.map((path) => client.get(path)));
    const health = (await answers.at(-1)!.json()) as { status: string };
    for (const { status, headers } of answers) expect([status, headers.has('retry-after')]).toEqual([status, status === 503]);
    const [startup, live, ready, all] = answers.map(({ status }) => String(status));
    return [startup!, live!, ready!, `${all!} \`${health.status}\``];
  }

  async function readiness(): Promise<number> {
    return Number(/^qwen_image_ready (\d)$/m.exec(await (await client.get('/metrics')).text())?.[1]);
  }

  async function becomes(status: string, model?: string): Promise<void> {
    await eventually(`/health tells ${status}`, async () => {
      const health = (await (await client.get('/health')).json()) as { status: string; model: { state: string } };
      return health.status === status && (model === undefined || health.model.state === model);
    });
  }

  it('answer as the guide says in every state that a server can be in', async () => {
    const told: string[][] = [];
    const tell = async (state: string) => told.push([state, ...(await probe())]);

    await tell('loads its first model');
    gate.open();
    await server.logged(/^model loaded/);
    await tell('has nothing to do');
    const running = client.postJson(long, { prefer: 'respond-async' });
    const { id } = (await (await running).json()) as { id: string };
    await client.queueIs({ running: 1, pending: 0 });
    await tell('draws');
    const waiting = client.postJson(quick);
    await client.queueIs({ running: 1, pending: 1 });
    expect(await errorOf(await client.postJson(quick))).toMatchObject({ status: 429, code: 'QUEUE_FULL' });
    await tell('has a full queue');

    await fetch(`${server.url}/jobs/${id}`, { method: 'DELETE' });
    await answerOf(await waiting);
    gate.close();
    process.kill(server.hostPid(), 'SIGKILL');
    await becomes('restarting');
    await tell('has lost its engine host (`kill -9`)');
    gate.open();
    await becomes('ok');

    server.pauseHost();
    const last = client.postJson({ ...long, num_inference_steps: 20 });
    await client.queueIs({ running: 1 });
    await client.changeModel('unload');
    await tell('unloads its model, whose last job still runs');
    server.resumeHost();
    await answerOf(await last);
    await becomes('unloaded', 'unloaded');
    await tell('has no model');
    gate.close();
    await client.changeModel('load', { model: 'demo' });
    await becomes('loading');
    await tell('loads another model');
    gate.open();
    await becomes('ok');
    await client.changeModel('load', { model: 'empty' });
    await becomes('failed');
    await tell('could not load it');

    await client.changeModel('load', { model: 'demo' });
    await becomes('ok');
    renameSync(jobs, `${jobs}.away`);
    await becomes('failed');
    expect(await readiness()).toBe(0);
    expect(await errorOf(await client.postJson(quick))).toMatchObject({ status: 507, code: 'STORAGE_FULL' });
    await tell('has no folder for its jobs any more, or no room on its disk');
    renameSync(`${jobs}.away`, jobs);
    await becomes('ok');
    expect(await readiness()).toBe(1);
    server.pauseHost();
    const finished = client.postJson({ ...long, num_inference_steps: 20 });
    await client.queueIs({ running: 1 });
    server.kill('SIGTERM');
    await becomes('draining');
    await tell('has been told to stop, and finishes its job');
    server.resumeHost();
    await answerOf(await finished);
    expect(await server.ended).toMatchObject({ code: 0 });

    await start('model.memoryBudget=150000000', 'model.residency=sequential');
    await server.logged(/^model loaded/);
    expect(await errorOf(await client.postJson(quick))).toMatchObject({ status: 422, code: 'REQUEST_TOO_LARGE' });
    await tell('has no memory for any picture beside its model');
    expect(await server.stop()).toMatchObject({ code: 0 });

    console.log(told.map((row) => `| ${row.join(' | ')} |`).join('\n'));
    expect(told).toEqual(documented());
  });
});
