import {
  EngineClient,
  type EngineLog,
  type EngineStatus,
  type FromHost,
  type GenerateRequest,
  type LoadOptions,
  type ToHost,
} from '@app/engine';
import { fork, type ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { join } from 'node:path';

/* The built engine host with the real addon and the demo model: what becomes of it, and of its jobs, when things die. */

const root = join(__dirname, '../..');
const hostEntry = join(root, 'dist/apps/engine-host/src/main.js');
const demo = join(root, 'models/demo');
const load: LoadOptions = {
  device: 'cpu',
  dtype: 'float32',
  threads: 2,
  residency: 'resident',
  vaeTiling: 'auto',
  memoryBudget: null,
};

function request(numInferenceSteps: number): GenerateRequest {
  return {
    prompt: 'a red circle',
    negativePrompt: ' ',
    width: 64,
    height: 64,
    numInferenceSteps,
    trueCfgScale: 4,
    seed: 1,
    numImages: 1,
    maxSequenceLength: 512,
  };
}

describe('EngineClient with the real host', () => {
  let engine: EngineClient;
  let pids: number[];

  async function ready(): Promise<void> {
    expect(await open(demo)).toMatchObject({ error: null, state: 'ready' });
  }

  function open(folder: string, args: string[] = []): Promise<EngineStatus> {
    pids = [];
    const log: EngineLog = {
      log: (_level, message, fields) => {
        if (message === 'engine host started') pids.push(Number(fields?.['pid']));
      },
    };
    const watchdog = { hangMs: 60_000, stageFactor: 10 };
    engine = new EngineClient(
      { host: { path: hostEntry, args }, model: { name: 'demo', folder }, load, specialTokens: 'allow', watchdog },
      log,
    );
    const settled = reach(({ state }) => state === 'ready' || state === 'failed');
    engine.start();
    return settled;
  }

  function reach(wanted: (status: EngineStatus) => boolean): Promise<EngineStatus> {
    return new Promise((resolve) => {
      const forget = engine.onChange((status) => {
        if (!wanted(status)) return;
        forget();
        resolve(status);
      });
    });
  }

  afterEach(() => engine.stop(10_000));

  it.each<NodeJS.Signals>(['SIGSEGV', 'SIGKILL'])(
    'settles the job of a host that dies of %s and draws again with the next',
    async (signal) => {
      await ready();
      const before = await engine.generate('before', request(2));
      const isBack = reach(({ state, restarts }) => state === 'ready' && restarts === 1);
      let isAlive = true;
      const job = engine.generate('running', request(200), {
        onProgress: ({ step }) => {
          // Steps that are told late come several at once.
          if (isAlive && step >= 2) isAlive = !process.kill(Number(pids[0]), signal);
        },
      });
      await expect(job).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining(signal) });
      expect(engine.status().state).toBe('restarting');
      await isBack;
      const after = await engine.generate('after', request(2));
      expect(after.images).toEqual(before.images);
    },
  );

  it('cancels by signal in mid-run', async () => {
    await ready();
    const abort = new AbortController();
    const job = engine.generate('a', request(200), { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(job).rejects.toMatchObject({ name: 'EngineError', code: 'CANCELLED' });
    await expect(engine.generate('b', request(2))).resolves.toBeDefined();
  });

  it('says which file of a folder is at fault, once', async () => {
    const status = await open('/nowhere/model');
    expect(status).toMatchObject({
      state: 'failed',
      restarts: 0,
      error: { code: 'INVALID_MODEL', message: '/nowhere/model: no such folder' },
    });
  });

  it('says that the addon is missing, once', async () => {
    const status = await open(demo, ['/nowhere/addon']);
    const message = expect.stringContaining('/nowhere/addon');
    expect(status).toMatchObject({ state: 'failed', restarts: 0, error: { code: 'ENGINE_UNAVAILABLE', message } });
  });

  it('ends the host in mid-run when it is told to stop', async () => {
    await ready();
    let outcome: Promise<void> | undefined;
    await new Promise<void>((running) => {
      const job = engine.generate('a', request(200), { onProgress: () => running() });
      outcome = expect(job).rejects.toMatchObject({ name: 'EngineError' });
    });
    await engine.stop(20_000);
    await outcome;
    expect(() => process.kill(Number(pids[0]), 0)).toThrow('ESRCH');
  });
});

describe('the engine host', () => {
  let host: ChildProcess;

  async function running(): Promise<void> {
    host = fork(hostEntry, [], { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const tell = (message: ToHost) => host.send(message);
    await new Promise<void>((resolve, reject) => {
      host.once('exit', () => reject(new Error('the host ended too early')));
      host.on('message', (message: FromHost) => {
        if (message.type === 'ready') tell({ type: 'load', folder: demo, options: load, specialTokens: 'allow' });
        else if (message.type === 'loaded') tell({ type: 'generate', jobId: 'a', request: request(200) });
        else if (message.type === 'progress') resolve();
        else if (message.type !== 'alive') reject(new Error(JSON.stringify(message)));
      });
    });
  }

  it('ends in mid-run when its channel closes', async () => {
    await running();
    const ended = once(host, 'exit');
    host.disconnect();
    expect(await ended).toEqual([0, null]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('leaves a %s that reaches all processes to the server', async (signal) => {
    await running();
    host.kill(signal);
    for await (const [message] of on(host, 'message') as AsyncIterable<[FromHost]>) if (message.type === 'progress') break;
    const ended = once(host, 'exit');
    host.disconnect();
    expect(await ended).toEqual([0, null]);
  });

  it('does not run without a server', async () => {
    host = fork(hostEntry, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] });
    host.disconnect();
    expect(((await once(host, 'exit')) as unknown[])[1]).toBeNull();
  });
});
