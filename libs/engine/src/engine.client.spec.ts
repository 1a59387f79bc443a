import { AsyncLocalStorage } from 'node:async_hooks';
import { join } from 'node:path';
import { EngineClient } from './engine.client.js';
import { HostLostError } from './engine.error.js';
import type { EngineLog } from './engine.log.js';
import type { EngineStatus } from './engine.status.js';
import type { GenerateRequest, Progress } from './engine.types.js';

const fakeHost = join(__dirname, '../../../test/fixtures/fake-host.js');
const restart = { firstDelayMs: 1, maxDelayMs: 4, healthyAfterMs: 60_000, maxDeathsBeforeReady: 3 };

interface LogRecord {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

class RecordingLog implements EngineLog {
  readonly records: LogRecord[] = [];
  private readonly waiting: (() => void)[] = [];

  log(level: LogRecord['level'], message: string, fields: Record<string, unknown> = {}): void {
    this.records.push({ level, message, fields });
    this.waiting.splice(0).forEach((wake) => wake());
  }

  async find(message: string): Promise<LogRecord> {
    for (;;) {
      const found = this.records.find((record) => record.message.includes(message));
      if (found) return found;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }
}

function request(prompt: string): GenerateRequest {
  return {
    prompt,
    negativePrompt: ' ',
    width: 32,
    height: 16,
    numInferenceSteps: 3,
    trueCfgScale: 4,
    seed: 7,
    numImages: 1,
    maxSequenceLength: 512,
  };
}

function isRunning(pid: number | null): boolean {
  try {
    return pid !== null && process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe(EngineClient.name, () => {
  let engine: EngineClient;
  let log: RecordingLog;

  function open(start = 'ok', hangMs = 60_000): EngineClient {
    log = new RecordingLog();
    engine = new EngineClient(
      {
        host: { path: fakeHost, args: [start] },
        model: { name: 'fake', folder: '/models/fake' },
        load: { device: 'cpu', dtype: 'auto', threads: 'auto', residency: 'resident', vaeTiling: 'auto', memoryBudget: null },
        specialTokens: 'allow',
        watchdog: { hangMs, stageFactor: 10 },
        restart,
      },
      log,
    );
    return engine;
  }

  function reach(wanted: (status: EngineStatus) => boolean): Promise<EngineStatus> {
    return new Promise((resolve) => {
      const stop = engine.onChange((status) => {
        if (!wanted(status)) return;
        stop();
        resolve(status);
      });
    });
  }

  async function ready(start?: string, hangMs?: number): Promise<EngineStatus> {
    open(start, hangMs);
    const isReady = reach(({ state }) => state === 'ready');
    engine.start();
    return isReady;
  }

  afterEach(() => engine.stop(0));

  it('goes from starting over loading to ready and tells what is loaded', async () => {
    open();
    const states: string[] = [];
    engine.onChange(({ state }) => states.push(state));
    expect(engine.status()).toMatchObject({ state: 'starting', model: null, readySince: null });
    expect(engine.status().retryAfterS).toBeGreaterThan(0);

    const isReady = reach(({ state }) => state === 'ready');
    engine.start();
    engine.start();
    const status = await isReady;

    expect(states).toEqual(['loading', 'ready']);
    expect(status).toMatchObject({ restarts: 0, error: null, retryAfterS: 0, stats: { memoryUsed: 1, memoryTotal: 2 } });
    expect(status.model?.class).toBe('QwenImagePipeline');
    expect(status.readySince).not.toBeNull();
  });

  it('brings back pixels and the progress of every step', async () => {
    await ready();
    const progress: Progress[] = [];
    const result = await engine.generate('a', request('anything'), { onProgress: (event) => progress.push(event) });
    expect(progress.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(result.images[0]).toMatchObject({ width: 32, height: 16, channels: 3 });
    expect(Buffer.from(result.images[0]?.data ?? []).equals(Buffer.alloc(32 * 16 * 3, 7))).toBe(true);
  });

  it('brings back the previews that were asked for, amid the progress', async () => {
    await ready();
    const seen: string[] = [];
    await engine.generate(
      'a',
      { ...request('anything'), previews: 2 },
      {
        onProgress: ({ step }) => seen.push(`step ${step}`),
        onPreview: ({ image, index, step, picture: { width, height, data } }) =>
          seen.push(`preview ${image}.${index} after ${step}: ${width}x${height}, ${data.length} bytes`),
      },
    );
    expect(seen).toEqual([
      'step 1',
      'preview 0.0 after 1: 16x8, 384 bytes',
      'step 2',
      'preview 0.1 after 2: 16x8, 384 bytes',
      'step 3',
    ]);
  });

  it('rejects with the failure of the engine', async () => {
    await ready();
    await expect(engine.generate('a', request('refuse'))).rejects.toMatchObject({
      name: 'EngineError',
      code: 'OUT_OF_MEMORY',
      message: 'too large just now',
    });
  });

  it('refuses work until the model is loaded', async () => {
    open('load-waits-for-signal');
    const isLoading = reach(({ state }) => state === 'loading');
    engine.start();
    await isLoading;
    await expect(engine.generate('a', request('anything'))).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });

    const isReady = reach(({ state }) => state === 'ready');
    const { fields } = await log.find('waiting');
    process.kill(Number(fields['pid']), 'SIGUSR2');
    await isReady;
    await expect(engine.generate('a', request('anything'))).resolves.toBeDefined();
  });

  it.each([-86_400_000, 86_400_000])(
    'expects a load to take as long as ever when the wall clock is set by %i ms',
    async (jumpMs) => {
      open('load-waits-for-signal');
      const before = engine.status().retryAfterS;
      const isLoading = reach(({ state }) => state === 'loading');
      engine.start();
      await isLoading;
      const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + jumpMs);
      const { retryAfterS } = engine.status();
      clock.mockRestore();
      expect(retryAfterS).toBeGreaterThan(1);
      expect(retryAfterS).toBeLessThanOrEqual(before);
    },
  );

  it('cancels the job of the signal and no other', async () => {
    await ready();
    const abort = new AbortController();
    const other = engine.generate('other', request('wait for cancel'));
    const otherOutcome = other.catch((error: unknown) => error);
    const cancelled = engine.generate('a', request('wait for cancel'), { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });

    await engine.generate('b', request('anything')); // had the other job been cancelled too, its end came before this one's
    expect(await Promise.race([otherOutcome, Promise.resolve('still open')])).toBe('still open');
    await engine.stop(1000);
    expect(await otherOutcome).toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  it('does not begin a job whose signal was aborted before', async () => {
    await ready();
    const outcome = engine.generate('a', request('crash'), { signal: AbortSignal.abort() });
    await expect(outcome).rejects.toMatchObject({ code: 'CANCELLED' });
    await engine.generate('b', request('anything'));
    expect(engine.status().restarts).toBe(0);
  });

  it('rejects every open job when the host dies, and serves again with a new host', async () => {
    await ready();
    const isDown = reach(({ state }) => state === 'restarting');
    const waiting = engine.generate('a', request('wait for cancel'));
    const crashing = engine.generate('b', request('crash'));
    const lost = { code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining('SIGSEGV') as string };
    const isBack = reach(({ state, restarts }) => state === 'ready' && restarts === 1);
    await Promise.all([expect(waiting).rejects.toMatchObject(lost), expect(crashing).rejects.toMatchObject(lost)]);

    const down = await isDown;
    expect(down).toMatchObject({ readySince: null, error: lost });
    expect(down.retryAfterS).toBeGreaterThan(0);
    expect(await isBack).toMatchObject({ error: null });
    await expect(engine.generate('c', request('anything'))).resolves.toBeDefined();
  });

  it.each([
    // Longer than a busy machine leaves out a process that has something to say.
    ['is stopped', 'stop', 'no sign of life for 3000 ms'],
    ['is alive, while its job stands still', 'wait for cancel', 'no progress in stage denoise for 3000 ms'],
  ])('kills a host that %s, and serves again with a new one', async (_, prompt, reason) => {
    await ready('ok', 3000);
    await engine.generate('a', request('anything')); // now the stages' usual times are known
    const { fields } = await log.find('engine host started');
    const isBack = reach(({ state, restarts }) => state === 'ready' && restarts === 1);
    const lost: unknown = await engine.generate('b', request(prompt)).catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(HostLostError);
    expect(lost).toMatchObject({ message: `the engine host ended (killed: ${reason})` });
    expect(() => process.kill(Number(fields['pid']), 0)).toThrow('ESRCH');
    await isBack;
    await expect(engine.generate('c', request('anything'))).resolves.toBeDefined();
  });

  it('takes no host for hung that is silent while it loads', async () => {
    open('load-is-silent', 100);
    const isReady = reach(({ state }) => state === 'ready');
    engine.start();
    expect(await isReady).toMatchObject({ restarts: 0 });
  });

  it('counts the hosts in a row that do not come up again', async () => {
    await ready();
    const record = log.log.bind(log);
    log.log = (level, message, fields) => {
      record(level, message, fields);
      if (message === 'engine host started') process.kill(Number(fields?.['pid']), 'SIGKILL');
    };
    const inVain: number[] = [];
    const thrice = reach(({ failedStarts }) => inVain.push(failedStarts) > 0 && failedStarts === 3);
    await expect(engine.generate('a', request('crash'))).rejects.toBeInstanceOf(HostLostError);
    expect(await thrice).toMatchObject({ state: 'restarting' });
    expect([...new Set(inVain)]).toEqual([0, 1, 2, 3]);
  });

  it('keeps the last words of a host, cut to a bearable length', async () => {
    await ready();
    const isBack = reach(({ state, restarts }) => state === 'ready' && restarts === 1);
    await expect(engine.generate('a', request('garbage then exit'))).rejects.toMatchObject({
      message: expect.stringContaining('exit code 3') as string,
    });
    await isBack;
    const { fields } = await log.find('the engine host ended');
    const lastLines = fields['lastLines'] as string[];
    expect(lastLines.at(-1)).toBe('the last words');
    expect(lastLines.length).toBeLessThanOrEqual(20);
    expect(Math.max(...lastLines.map((line) => line.length))).toBeLessThanOrEqual(4096);
    expect(await log.find('the last words')).toMatchObject({ level: 'warn', fields: { stream: 'stderr' } });
  });

  it('fails for good when the model is refused', async () => {
    open('load-failed');
    const isFailed = reach(({ state }) => state === 'failed');
    engine.start();
    const error = { code: 'INVALID_MODEL', message: 'vae/config.json: no such file' };
    expect(await isFailed).toMatchObject({ restarts: 0, error });
    await log.find('the engine host ended');
    expect(engine.status()).toMatchObject({ state: 'failed', restarts: 0, error });
    await expect(engine.generate('a', request('anything'))).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  it('fails with the last line of stderr when the host never comes up', async () => {
    open('crash-at-start');
    const isFailed = reach(({ state }) => state === 'failed');
    engine.start();
    const { error, restarts } = await isFailed;
    expect(restarts).toBe(2);
    expect(error?.message).toContain('exit code 1');
    expect(error?.message).toContain('libtorch_cpu.so: cannot open shared object file');
  });

  it('kills a host that does not heed shutdown', async () => {
    await ready('hang-on-shutdown');
    const { fields } = await log.find('engine host started');
    const open = engine.generate('a', request('wait for cancel'));
    const outcome = expect(open).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringContaining('SIGKILL') as string,
    });
    await engine.stop(1);
    await outcome;
    expect(() => process.kill(Number(fields['pid']), 0)).toThrow('ESRCH');
    expect(engine.status()).toMatchObject({ state: 'stopped', restarts: 0 });
  });

  it('stops for good, also while a restart is due', async () => {
    await ready();
    const isDown = reach(({ state }) => state === 'restarting');
    await expect(engine.generate('a', request('crash'))).rejects.toBeDefined();
    await isDown;
    await engine.stop(1000);
    await engine.stop(1000);
    engine.start();
    expect(engine.status().state).toBe('stopped');
    await expect(engine.generate('b', request('anything'))).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  describe('a model that is changed', () => {
    const other = { name: 'other', folder: '/models/other' };

    /** States from now on, each once. */
    function follow(): string[] {
      const states: string[] = [];
      engine.onChange(({ state }) => states.at(-1) === state || states.push(state));
      return states;
    }

    it('is unloaded when the running job has ended, and its host with it', async () => {
      await ready();
      const pid = engine.status().hostPid;
      const states = follow();
      const stop = new AbortController();
      const running = engine.generate('a', request('wait for cancel'), { signal: stop.signal });
      const unloading = engine.unload();
      expect(engine.status()).toMatchObject({ state: 'unloading', choice: { name: 'fake' } });
      expect(engine.status().retryAfterS).toBeGreaterThan(0);
      await expect(engine.generate('b', request('anything'))).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
      expect(isRunning(pid)).toBe(true);
      stop.abort();
      await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
      await unloading;
      expect(isRunning(pid)).toBe(false);
      expect(states).toEqual(['unloading', 'unloaded']);
      expect(engine.status()).toMatchObject({ state: 'unloaded', model: null, stats: null, hostPid: null, error: null });
      await engine.unload(); // there is nothing to do
      expect(engine.status().state).toBe('unloaded');
    });

    it('is another one after a load, from whatever state', async () => {
      await ready();
      const states = follow();
      await engine.load(other);
      await reach(({ state }) => state === 'ready');
      expect(states).toEqual(['unloading', 'starting', 'loading', 'ready']);
      expect(engine.status()).toMatchObject({ choice: other, restarts: 0 });
      await engine.unload();
      await engine.load({ name: 'fake', folder: '/models/fake' });
      await reach(({ state }) => state === 'ready');
      expect(await engine.generate('c', request('anything'))).toMatchObject({ images: [{ width: 32 }] });
    });

    it('leaves the count of hosts that were started anew as it is', async () => {
      await ready();
      const isBack = reach(({ state }) => state === 'ready');
      await expect(engine.generate('a', request('crash'))).rejects.toBeInstanceOf(HostLostError);
      expect(await isBack).toMatchObject({ restarts: 1 });
      await engine.load(other);
      expect(await reach(({ state }) => state === 'ready')).toMatchObject({ restarts: 1 });
    });

    it('is seen to be loaded at once where none was', async () => {
      await ready();
      await engine.unload();
      void engine.load(other);
      expect(engine.status()).toMatchObject({ state: 'starting', choice: other });
    });

    it('runs in a host that is not of the request that asked for it', async () => {
      await ready();
      const requests = new AsyncLocalStorage<string>();
      const seen: unknown[] = [];
      const record = log.log.bind(log);
      log.log = (level, message, fields) => {
        record(level, message, fields);
        seen.push([message.split(' (')[0], requests.getStore()]);
      };
      await requests.run('a request', () => engine.load(other));
      await reach(({ state }) => state === 'ready');
      seen.length = 0;
      const isBack = reach(({ state }) => state === 'ready');
      await expect(engine.generate('a', request('crash'))).rejects.toBeInstanceOf(HostLostError);
      await isBack;
      expect(seen).toEqual(
        ['the engine host ended', 'engine host started', 'model loaded'].map((message) => [message, undefined]),
      );
    });

    it('may be loaded again after a load that failed', async () => {
      open('load-failed');
      const failed = reach(({ state }) => state === 'failed');
      engine.start();
      await failed;
      await engine.load(other);
      const status = await reach(({ state }) => state === 'failed');
      expect(status).toMatchObject({ choice: other, error: { code: 'INVALID_MODEL' } });
    });

    it('is not changed twice at once, nor after the end', async () => {
      await ready();
      const first = engine.load(other);
      await expect(engine.load(other)).rejects.toThrow('while the engine is unloading');
      await expect(engine.unload()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
      await first;
      await expect(engine.load(other)).rejects.toThrow(/while the engine is (starting|loading)/);
      await engine.stop(0);
      await expect(engine.load(other)).rejects.toThrow('while the engine is stopped');
    });

    it('is not loaded any more when the engine is stopped meanwhile', async () => {
      await ready();
      const running = engine.generate('a', request('wait for cancel')).catch((error: unknown) => error);
      const loading = engine.load(other);
      await engine.stop(0);
      await loading;
      expect(await running).toBeInstanceOf(HostLostError);
      expect(engine.status()).toMatchObject({ state: 'stopped', hostPid: null });
    });

    it('whose load takes long may be unloaded', async () => {
      open('load-waits-for-signal');
      engine.start();
      await reach(({ state }) => state === 'loading');
      await engine.unload();
      expect(engine.status()).toMatchObject({ state: 'unloaded', hostPid: null });
    });
  });
});
