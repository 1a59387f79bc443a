import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, Client, errorOf, small, type Model } from './client.js';
import { HostGate } from './host-gate.js';
import { isRunning, projectRoot, Server } from './server.js';

const demo = join(projectRoot, 'models/demo');

const gate = new HostGate();
let root: string;
let server: Server;
let client: Client;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'models-'));
  symlinkSync(demo, join(root, 'second'));
  cpSync(demo, join(root, 'torn'), { recursive: true });
  truncateSync(join(root, 'torn/transformer/diffusion_pytorch_model.safetensors'), 1_000_000);
  mkdirSync(join(root, 'empty'));
  server = new Server(['--set', `model.root=${root}`], gate.variables);
  await server.logged(/^model loaded/);
  client = new Client(server);
});
afterAll(async () => {
  gate.end();
  expect(await server.stop()).toMatchObject({ code: 0 });
  rmSync(root, { recursive: true });
});

/** Asks until the model is in this state; gives every state that was seen on the way. */
async function untilModel(state: string): Promise<Model[]> {
  const seen: Model[] = [];
  for (;;) {
    const { model } = (await (await client.get('/health')).json()) as { model: Model };
    if (JSON.stringify(seen.at(-1)) !== JSON.stringify(model)) seen.push(model);
    if (model.state === state) return seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('a model that is changed while the server runs', () => {
  it('lets the running job end, and those that wait be drawn by the next one, which says so', async () => {
    const long = { ...small, width: 256, height: 256, num_inference_steps: 20 };
    server.pauseHost();
    gate.close();
    const running = client.postJson(long);
    await client.queueIs({ running: 1, pending: 0 });
    const waiting = client.postJson(small);
    await client.queueIs({ running: 1, pending: 1 });

    expect(await client.changeModel('load', { model: 'second' })).toMatchObject({ state: 'unloading' });
    const refused = await client.postJson(small);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await errorOf(refused)).toMatchObject({
      status: 503,
      code: 'ENGINE_UNAVAILABLE',
      message: 'the model is being unloaded',
    });

    server.resumeHost();
    expect(await answerOf(await running)).toMatchObject({ model: 'demo' });
    const seen = await untilModel('loading');
    gate.open();
    seen.push(...(await untilModel('ready')));
    for (const { progress } of seen) expect(progress === null || (progress >= 0 && progress <= 1)).toBe(true);
    // The same weights under another name.
    const answer = await answerOf(await waiting);
    expect(answer).toMatchObject({ model: 'second' });
    const info = (await (await client.get('/info')).json()) as { model: { id: string } };
    expect(info.model.id).toBe('second');
    expect((await answerOf(await client.postJson(small))).images).toEqual(answer.images);
  });

  it('gives its memory back with its process when it is unloaded, and keeps jobs that are there', async () => {
    const queued = await client.postJson(small, { prefer: 'respond-async' });
    const { id } = (await queued.json()) as { id: string };
    const host = server.hostPid();
    await client.changeModel('unload');
    await untilModel('unloaded');
    expect(isRunning(host)).toBe(false);
    expect(() => server.hostPid()).toThrow('0 children');
    expect(await errorOf(await client.postJson(small))).toMatchObject({ status: 503, message: 'no model is loaded' });
    expect((await client.get('/health/ready')).status).toBe(503);
    expect((await client.get('/health/live')).status).toBe(200);
    expect((await client.get(`/jobs/${id}`)).status).toBe(200);
    const metrics = await (await client.get('/metrics')).text();
    expect(metrics).not.toContain('process="host"');

    await client.changeModel('load', { model: 'demo' });
    await untilModel('ready');
    expect(await answerOf(await client.postJson(small))).toMatchObject({ model: 'demo' });
  });

  it.each([
    [
      'torn',
      /^transformer\/diffusion_pytorch_model\.safetensors: 1000000 bytes, its header tells of \d+: it was not copied whole$/,
    ],
    ['empty', /^model_index\.json: no such file$/],
  ])('stays without a model when %s cannot be loaded, says why, and loads another one', async (name, error) => {
    await client.changeModel('load', { model: name });
    const last = (await untilModel('failed')).at(-1);
    expect(last).toEqual({ id: name, state: 'failed', progress: null, error: expect.stringMatching(error) });
    expect(JSON.stringify(last)).not.toContain(root);
    const refused = await client.postJson(small);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await errorOf(refused)).toMatchObject({ status: 503, message: 'the engine has failed' });
    await client.changeModel('load', { model: 'demo' });
    await untilModel('ready');
    expect(await answerOf(await client.postJson(small))).toMatchObject({ model: 'demo' });
  });
});
