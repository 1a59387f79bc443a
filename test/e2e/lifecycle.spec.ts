import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, Client, errorOf, small } from './client.js';
import { HostGate } from './host-gate.js';
import { eventually, isRunning, projectRoot, Server } from './server.js';

const demo = join(projectRoot, 'models/demo');
/** Runs until it is stopped, as far as a test is concerned. */
const long = { ...small, width: 256, height: 256, num_inference_steps: 200 };

async function portIsFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  const free = await Promise.race([once(probe, 'listening').then(() => true), once(probe, 'error').then(() => false)]);
  probe.close();
  return free;
}

describe('the start', () => {
  it('answers that it is loading until the model is there', async () => {
    const gate = new HostGate();
    gate.close();
    const server = new Server([], gate.variables);
    await server.logged(/^listening on/);
    const client = new Client(server);
    const health = await client.get('/health');
    expect([health.status, await health.json()]).toMatchObject([
      503,
      { status: 'loading', model: { id: 'demo', state: 'loading' } },
    ]);
    expect(Number(health.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await client.get('/health/live')).status).toBe(200);
    expect((await client.get('/health/ready')).status).toBe(503);
    expect((await client.get('/health/startup')).status).toBe(503);
    const refused = await client.postJson(small);
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await errorOf(refused)).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });

    gate.end();
    await server.logged(/^model loaded/);
    const ok = await client.get('/health');
    expect([ok.status, await ok.json()]).toMatchObject([200, { status: 'ok', engine: { state: 'ready', restarts: 0 } }]);
    expect((await client.get('/health/startup')).status).toBe(200);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it.each([
    [['--help'], /Usage: npm start/],
    [['--version'], /^qwen-image-server \d+\.\d+\.\d+/],
  ])('explains itself with %j', async (args, text) => {
    const server = new Server(args);
    // Not a log: the lines are no JSON, and nothing is served.
    expect(await server.ended).toMatchObject({ code: 0 });
    expect(server.text).toMatch(text);
  });

  it('names a wrong setting', async () => {
    const { code, stderr } = await new Server(['--set', 'limits.maxSteps=many']).ended;
    expect([code, stderr]).toEqual([1, expect.stringContaining('limits.maxSteps')]);
  });

  it('names a port that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const { code, stderr } = await new Server(['--port', String(port)]).ended;
    taken.close();
    expect([code, stderr]).toEqual([1, expect.stringMatching(new RegExp(`server\\.port: ${port} cannot be used: .*EADDRINUSE`))]);
  });

  describe('with a model folder that cannot be served', () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'qwen-model-'));
      cpSync(demo, folder, { recursive: true });
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    function editJson(path: string, edit: (json: Record<string, unknown>) => void): void {
      const json = JSON.parse(readFileSync(join(folder, path), 'utf8')) as Record<string, unknown>;
      edit(json);
      writeFileSync(join(folder, path), JSON.stringify(json));
    }

    it.each([
      ['is missing', () => rmSync(folder, { recursive: true }), 'no such folder'],
      ['lacks a part', () => rmSync(join(folder, 'vae/config.json')), 'vae/config.json'],
      [
        'is of another class',
        () => editJson('model_index.json', (json) => (json['_class_name'] = 'StableDiffusionPipeline')),
        'StableDiffusionPipeline',
      ],
      [
        'has a truncated file of weights',
        () => truncateSync(join(folder, 'transformer/diffusion_pytorch_model.safetensors'), 1_000_000),
        'transformer/diffusion_pytorch_model.safetensors',
      ],
      [
        'lacks a key of a config',
        () => editJson('transformer/config.json', (json) => delete json['num_attention_heads']),
        'transformer/config.json',
      ],
    ])('that %s stops with one line that names it', async (_fault, breakIt, named) => {
      breakIt();
      const server = new Server(['--model', folder]);
      expect(await server.ended).toMatchObject({ code: 1 });
      const errors = server.log.filter(({ level }) => level === 'error');
      expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining(named)]);
    });
  });
});

describe('the end', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('comes after %s with the engine gone and the port free', async (signal) => {
    const server = await Server.ready();
    const host = server.hostPid();
    await answerOf(await new Client(server).postJson(small));
    server.kill(signal);
    expect(await server.ended).toMatchObject({ code: 0, signal: null });
    expect(isRunning(host)).toBe(false);
    expect(await portIsFree(server.port)).toBe(true);
  });

  it('lets the running job finish, sends away what waits, and takes nothing new', async () => {
    const server = await Server.ready();
    const client = new Client(server);
    server.pauseHost();
    const running = client.postJson({ ...small, width: 256, height: 256, num_inference_steps: 20 });
    await client.queueIs({ running: 1 });
    const waiting = client.postJson(small);
    await client.queueIs({ running: 1, pending: 1 });

    server.kill('SIGTERM');
    const sentAway = await waiting;
    expect(sentAway.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await errorOf(sentAway)).toMatchObject({ status: 503, code: 'INTERRUPTED' });
    const health = await client.get('/health');
    expect([health.status, await health.json()]).toMatchObject([503, { status: 'draining' }]);
    expect((await client.get('/health/live')).status).toBe(200);
    expect(await errorOf(await client.postJson(small))).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });

    server.resumeHost();
    expect((await answerOf(await running)).images).toHaveLength(1);
    expect(await server.ended).toMatchObject({ code: 0 });
  });

  it('interrupts the running job when the grace is over', async () => {
    const server = await Server.ready('--set', 'server.shutdownGraceMs=100');
    const client = new Client(server);
    const running = client.postJson(long);
    await client.queueIs({ running: 1 });
    server.kill('SIGTERM');
    const answer = await running;
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await errorOf(answer)).toMatchObject({ status: 503, code: 'INTERRUPTED' });
    expect(await server.ended).toMatchObject({ code: 0 });
  });

  it('comes in the middle of a load too', async () => {
    const server = await Server.listening();
    await server.logged(/^engine host started/);
    const host = server.hostPid();
    expect(await server.stop()).toMatchObject({ code: 0 });
    expect(isRunning(host)).toBe(false);
  });

  it('comes at once with a second signal that is not the first one’s echo', async () => {
    const server = await Server.ready();
    const host = server.hostPid();
    const client = new Client(server);
    const running = client.postJson(long).catch(() => null);
    await client.queueIs({ running: 1 });
    server.kill('SIGINT');
    await server.logged(/^stopping/);
    server.kill('SIGINT');
    // The echo is let pass: the server still tells that it drains.
    expect(await (await client.get('/health')).json()).toMatchObject({ status: 'draining' });
    const repeat = setInterval(() => server.kill('SIGINT'), 500);
    expect(await server.ended).toMatchObject({ code: 1 });
    clearInterval(repeat);
    await running;
    await eventually('the host notices that its server is gone', () => !isRunning(host));
  });

  it('of the server by SIGKILL takes the engine host with it', async () => {
    const server = await Server.ready();
    const host = server.hostPid();
    server.kill('SIGKILL');
    await server.ended;
    await eventually('the host notices that its server is gone', () => !isRunning(host));
  });
});

describe('a reader of the log that goes away', () => {
  it('takes nothing with it', async () => {
    const server = await Server.ready();
    const client = new Client(server);
    server.closeLog();
    for (let i = 0; i < 3; i++) await answerOf(await client.postJson(small));
    const { code, stderr } = await server.stop();
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^the log cannot be written any more: write EPIPE\n$/)]);
  });
});

describe('a client that goes away', () => {
  it('takes its job with it', async () => {
    const server = await Server.ready();
    const client = new Client(server);
    for (let i = 0; i < 3; i++) {
      const leave = new AbortController();
      const headers = { 'content-type': 'application/json' };
      const request = fetch(`${server.url}/text-to-image`, {
        method: 'POST',
        headers,
        body: JSON.stringify(long),
        signal: leave.signal,
      });
      await client.queueIs({ running: 1 });
      leave.abort();
      await expect(request).rejects.toThrow();
      await client.queueIs({ running: 0, pending: 0 });
    }
    await answerOf(await client.postJson(small));
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
});
