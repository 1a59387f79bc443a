import {
  EngineError,
  type Addon,
  type DeviceStats,
  type FromHost,
  type GenerateRequest,
  type NativeEngine,
  type NativeRequest,
  type ToHost,
} from '@app/engine';
import { cp, mkdtemp, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { demoModel } from '../../../test/fixtures/scripted-engine.js';
import { Host } from './host.js';

const demo = join(__dirname, '../../../models/demo');
const stats: DeviceStats = { memoryUsed: 3, memoryTotal: 9 };

/** Takes what the addon takes and answers what it answers, without drawing. */
class FakeEngine implements NativeEngine {
  readonly calls: string[] = [];
  readonly requests: NativeRequest[] = [];
  failure: Error | null = null;
  statsFailure: Error | null = null;
  memory = demoModel.memory;
  disposed = false;

  load: NativeEngine['load'] = (folder, options) => {
    this.calls.push(`load ${options.device}`);
    if (this.failure) return Promise.reject(this.failure);
    return Promise.resolve({
      class: 'QwenImagePipeline',
      dtype: 'float32',
      parameters: 12,
      sizeMultiple: 16,
      minSteps: 2,
      defaultSide: 1024,
      device: { type: 'cpu', id: 'cpu', name: folder, threads: 1 },
      memory: this.memory,
    });
  };

  generate: NativeEngine['generate'] = (jobId, request, onEvent) => {
    this.calls.push(`generate ${jobId}`);
    this.requests.push(request);
    if (this.failure) return Promise.reject(this.failure);
    onEvent({ stage: 'denoise', image: 0, step: 1, total: request.numInferenceSteps });
    const image = { width: request.width, height: request.height, channels: 3 as const, data: new Uint8Array(3) };
    if (request.previews) onEvent({ image: 0, index: 0, step: 1, picture: image });
    return Promise.resolve({ images: [image], timings: { encodeMs: 1, denoiseMs: 2, decodeMs: 3, totalMs: 6 }, vaeTiled: false });
  };

  cancel: NativeEngine['cancel'] = (jobId) => {
    this.calls.push(`cancel ${jobId}`);
    return true;
  };

  stats: NativeEngine['stats'] = () => {
    if (this.statsFailure) throw this.statsFailure;
    return stats;
  };

  dispose: NativeEngine['dispose'] = () => {
    this.disposed = true;
    return Promise.resolve();
  };
}

describe(Host.name, () => {
  let engine: FakeEngine;
  let sent: FromHost[];
  let exits: number[];
  let host: Host;

  beforeEach(() => {
    engine = new FakeEngine();
    sent = [];
    exits = [];
    const addon: Addon = {
      Engine: function () {
        return engine;
      } as unknown as Addon['Engine'],
      errorCodes: () => [],
      buildInfo: () => ({ libtorch: '2.13.0', cuda: null }),
      loadedBytes: () => 0,
    };
    host = new Host(
      addon,
      (message) => sent.push(message),
      (code) => exits.push(code),
    );
  });

  function load(folder = demo, specialTokens: Extract<ToHost, { type: 'load' }>['specialTokens'] = 'allow'): Promise<void> {
    const options = {
      device: 'cpu',
      dtype: 'auto',
      threads: 'auto',
      residency: 'resident',
      vaeTiling: 'auto',
      memoryBudget: null,
    } as const;
    return host.receive({ type: 'load', folder, options, specialTokens });
  }

  function generate(jobId: string, change: Partial<GenerateRequest> = {}): Promise<void> {
    const request = {
      prompt: 'a red circle',
      negativePrompt: ' ',
      width: 32,
      height: 48,
      numInferenceSteps: 3,
      trueCfgScale: 4,
      seed: 2 ** 53 - 1,
      numImages: 1,
      maxSequenceLength: 512,
      ...change,
    };
    return host.receive({ type: 'generate', jobId, request });
  }

  it('warms up at the default size before it says what it loaded', async () => {
    await load();
    expect(engine.calls).toEqual(['load cpu', 'generate warm-up']);
    expect(engine.requests[0]).toMatchObject({
      width: 256,
      height: 256,
      numInferenceSteps: 2,
      trueCfgScale: 1,
      negativePromptIds: null,
      numImages: 1,
    });
    expect(sent).toEqual([
      {
        type: 'loaded',
        stats,
        model: {
          class: 'QwenImagePipeline',
          dtype: 'float32',
          parameters: 12,
          sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
          sizeMultiple: 16,
          minSteps: 2,
          refusedTokens: ['<|image_pad|>', '<|video_pad|>'],
          defaults: { width: 256, height: 256, numInferenceSteps: 20, trueCfgScale: 4, negativePrompt: ' ' },
          device: { type: 'cpu', id: 'cpu', name: demo, threads: 1 },
          memory: demoModel.memory,
          libtorch: '2.13.0',
          cuda: null,
        },
      },
    ]);
  });

  it('warms up at the largest size that may be drawn where the default one may not, and not at all where none may', async () => {
    const { memory } = demoModel;
    const costs = { ...memory, resident: 0, vaeDecoder: { weights: 0, perWorkPixel: 0, perPixel: 1e6 } };
    engine.memory = { ...costs, budget: 1e6 * 128 * 128 };
    await load();
    expect(engine.requests.map(({ width, height }) => [width, height])).toEqual([[112, 112]]);
    engine.memory = { ...costs, budget: 1 };
    await load();
    expect(engine.requests).toHaveLength(1);
    expect(sent.map(({ type }) => type)).toEqual(['loaded', 'loaded']);
  });

  it('tells why a folder cannot be loaded', async () => {
    await load('/nowhere');
    const failure = { code: 'INVALID_MODEL', message: '/nowhere: no such folder' };
    expect(sent).toEqual([{ type: 'load-failed', error: failure }]);
    expect(engine.calls).toEqual([]);
  });

  it('names a missing tokenizer before the weights are read', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'host-'));
    try {
      const folder = join(parent, 'model');
      await cp(demo, folder, { recursive: true });
      await unlink(join(folder, 'tokenizer/tokenizer.json'));
      await unlink(join(folder, 'tokenizer/vocab.json'));
      await load(folder);
      expect(sent).toMatchObject([{ type: 'load-failed', error: { message: expect.stringContaining('tokenizer/vocab.json') } }]);
      expect(engine.calls).toEqual([]);
    } finally {
      await rm(parent, { recursive: true });
    }
  });

  it('passes on what the engine says about the weights, by its code', async () => {
    // As the addon makes it: an Error of no class of ours.
    engine.failure = Object.assign(new Error('vae: 3 tensors are missing'), { code: 'INVALID_MODEL' });
    await load();
    expect(sent).toEqual([{ type: 'load-failed', error: { code: 'INVALID_MODEL', message: 'vae: 3 tensors are missing' } }]);
  });

  it('turns text into token ids and brings back progress, result and figures', async () => {
    await load();
    sent.length = 0;
    await generate('a');
    const { promptIds, negativePromptIds, dropIndex, seed } = engine.requests[1] ?? {};
    expect(promptIds?.length).toBeGreaterThan(negativePromptIds?.length ?? Infinity);
    expect({ dropIndex, seed }).toEqual({ dropIndex: 34, seed: 2 ** 53 - 1 });
    expect(engine.requests[1]).not.toHaveProperty('prompt');
    expect(sent).toMatchObject([
      { type: 'progress', jobId: 'a', progress: { step: 1, total: 3 } },
      { type: 'result', jobId: 'a', result: { images: [{ width: 32, height: 48 }], warnings: [] } },
      { type: 'stats', stats },
    ]);
  });

  it('brings back previews between the steps', async () => {
    await load();
    sent.length = 0;
    await generate('a', { previews: 2 });
    expect(engine.requests[1]?.previews).toBe(2);
    expect(sent.map(({ type }) => type)).toEqual(['progress', 'preview', 'result', 'stats']);
    const picture = { width: 32, height: 48, channels: 3, data: new Uint8Array(3) };
    expect(sent[1]).toEqual({ type: 'preview', jobId: 'a', preview: { image: 0, index: 0, step: 1, picture } });
  });

  it('leaves the negative prompt out where guidance is off', async () => {
    await load();
    await generate('a', { trueCfgScale: 1 });
    expect(engine.requests[1]?.negativePromptIds).toBeNull();
  });

  it('says when a prompt was cut', async () => {
    await load();
    await generate('a', { prompt: '7'.repeat(600) });
    const result = sent.find((message) => message.type === 'result');
    expect(result?.result.warnings).toEqual([
      { code: 'PROMPT_TRUNCATED', field: 'prompt', message: '600 tokens, the first 512 were used' },
    ]);
  });

  it('refuses a prompt without troubling the engine', async () => {
    await load(demo, 'reject');
    await generate('a', { prompt: 'x<|im_end|>' });
    expect(engine.calls).toEqual(['load cpu', 'generate warm-up']);
    expect(sent).toContainEqual({
      type: 'failed',
      jobId: 'a',
      error: { code: 'INVALID_ARGUMENT', field: 'prompt', message: expect.stringContaining('<|im_end|>') },
    });
  });

  it('fails a job with the code of the engine, pushes the figures and goes on', async () => {
    await load();
    sent.length = 0;
    engine.failure = new EngineError('OUT_OF_MEMORY', 'full');
    await generate('a');
    engine.failure = null;
    await generate('b');
    expect(sent.map(({ type }) => type)).toEqual(['failed', 'stats', 'progress', 'result', 'stats']);
    expect(sent[0]).toEqual({ type: 'failed', jobId: 'a', error: { code: 'OUT_OF_MEMORY', message: 'full' } });
  });

  it('calls what it does not know an internal error and writes it to the log', async () => {
    const log = jest.spyOn(console, 'error').mockImplementation();
    await load();
    engine.failure = new TypeError('a bug');
    await generate('a');
    expect(sent).toContainEqual({ type: 'failed', jobId: 'a', error: { code: 'INTERNAL', message: 'a bug' } });
    expect(log).toHaveBeenCalledWith(engine.failure);
    log.mockRestore();
  });

  it('goes on when there are no figures to push', async () => {
    const log = jest.spyOn(console, 'error').mockImplementation();
    await load();
    sent.length = 0;
    engine.statsFailure = new Error('no memory info');
    await generate('a');
    expect(sent.map(({ type }) => type)).toEqual(['progress', 'result']);
    expect(log).toHaveBeenCalledWith(engine.statsFailure);
    log.mockRestore();
  });

  it('ends without an answer when the device is lost under a job or a load', async () => {
    const log = jest.spyOn(console, 'error').mockImplementation();
    await load();
    sent.length = 0;
    engine.failure = new EngineError('DEVICE_LOST', 'CUDA error: an illegal memory access was encountered');
    await generate('a');
    await load();
    expect(sent).toEqual([]);
    expect(exits).toEqual([1, 1]);
    expect(log).toHaveBeenCalledWith(expect.stringContaining('an illegal memory access'));
    log.mockRestore();
  });

  it('answers a job that comes before the model', async () => {
    await generate('a');
    expect(sent).toEqual([{ type: 'failed', jobId: 'a', error: { code: 'ENGINE_UNAVAILABLE', message: 'no model is loaded' } }]);
  });

  it('cancels by job id', async () => {
    await host.receive({ type: 'cancel', jobId: 'a' });
    expect(engine.calls).toEqual(['cancel a']);
  });

  it('frees the engine before it ends', async () => {
    await load();
    await host.receive({ type: 'shutdown' });
    expect(engine.disposed).toBe(true);
    expect(exits).toEqual([0]);
  });
});
