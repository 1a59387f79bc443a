import {
  EngineError,
  loadAddon,
  toEngineError,
  type LoadOptions,
  type NativeEngine,
  type NativeRequest,
  type Preview,
  type Progress,
  type RawImage,
} from '@app/engine';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/* The real addon on the demo model, on the CPU. Errors come from outside Jest's realm: they are told by code and message. */

const demo = join(__dirname, '../../models/demo');
const addon = loadAddon();

const loadOptions: LoadOptions = {
  device: 'cpu',
  dtype: 'float32',
  threads: 2,
  residency: 'resident',
  vaeTiling: 'auto',
  memoryBudget: null,
};

function request(change: Partial<NativeRequest> = {}): NativeRequest {
  return {
    promptIds: Int32Array.from({ length: 45 }, (_, i) => i + 1),
    negativePromptIds: Int32Array.from({ length: 40 }, (_, i) => i + 1),
    dropIndex: 34,
    maxSequenceLength: 512,
    width: 64,
    height: 64,
    numInferenceSteps: 2,
    trueCfgScale: 4,
    seed: 7,
    numImages: 1,
    ...change,
  };
}

/** Long enough to be cancelled in mid-run. */
const long = () => request({ numInferenceSteps: 200 });
const ignore = () => undefined;
const progressInto = (seen: Progress[]) => (event: Progress | Preview) => {
  if ('stage' in event) seen.push(event);
};
const failure = (code: string, message = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(message) }) as Error;

/** Left and right half of each row. */
function meansOfHalves({ width, data }: RawImage): { left: number; right: number } {
  const sums = { left: 0, right: 0 };
  data.forEach((value, i) => (sums[Math.floor(i / 3) % width < width / 2 ? 'left' : 'right'] += value));
  return { left: (2 * sums.left) / data.length, right: (2 * sums.right) / data.length };
}

describe('buildInfo', () => {
  it('tells the version of libtorch', () => {
    expect(addon.buildInfo().libtorch).toMatch(/^\d+\.\d+\.\d+/);
  });
});

describe('an engine without a model', () => {
  let engine: NativeEngine;
  beforeEach(() => {
    engine = new addon.Engine();
  });
  afterEach(() => engine.dispose());

  it('says that none is loaded', async () => {
    await expect(engine.generate('a', request(), ignore)).rejects.toEqual(failure('ENGINE_UNAVAILABLE', 'no model is loaded'));
    expect(() => engine.stats()).toThrow('no model is loaded');
  });

  it('names a folder that is not there, and loads another one afterwards', async () => {
    await expect(engine.load('/nowhere/model', loadOptions)).rejects.toEqual(failure('INVALID_MODEL', '/nowhere/model'));
    await expect(engine.load(demo, loadOptions)).resolves.toMatchObject({ class: 'QwenImagePipeline', dtype: 'float32' });
  });

  it('names a device that is not there', async () => {
    const message = await engine.load(demo, { ...loadOptions, device: 'cuda:99' }).catch((error: unknown) => error);
    expect(message).toEqual(failure('ENGINE_UNAVAILABLE', 'cuda'));
  });

  it.each<[keyof LoadOptions, unknown]>([
    ['device', 1],
    ['dtype', null],
    ['dtype', 'float16'],
    ['threads', 0],
    ['threads', 'many'],
    ['residency', 'sometimes'],
    ['vaeTiling', 'sometimes'],
    ['memoryBudget', -1],
  ])('refuses the load option %s = %p', async (name, value) => {
    const options = { ...loadOptions, [name]: value };
    await expect(engine.load(demo, options)).rejects.toEqual(failure('INVALID_ARGUMENT', name));
  });

  it('refuses a folder that is no string and options that are no object', async () => {
    await expect(engine.load(5 as never, loadOptions)).rejects.toEqual(failure('INVALID_ARGUMENT', 'folder'));
    await expect(engine.load(demo, null as never)).rejects.toEqual(failure('INVALID_ARGUMENT', 'options'));
    const thrown = new Error('by a getter');
    const options = {
      get device(): never {
        throw thrown;
      },
    };
    await expect(engine.load(demo, options as never)).rejects.toBe(thrown);
  });

  it('takes no second load while one runs', async () => {
    const first = engine.load(demo, loadOptions);
    await expect(engine.load(demo, loadOptions)).rejects.toEqual(failure('ENGINE_UNAVAILABLE', 'being loaded'));
    await expect(first).resolves.toBeDefined();
  });
});

describe('an engine with the demo model', () => {
  let engine: NativeEngine;
  beforeAll(async () => {
    engine = new addon.Engine();
    await engine.load(demo, loadOptions);
  });
  afterAll(() => engine.dispose());

  it('tells what it loaded', async () => {
    expect(await engine.load(demo, loadOptions)).toEqual({
      class: 'QwenImagePipeline',
      dtype: 'float32',
      parameters: expect.any(Number),
      sizeMultiple: 16,
      minSteps: 2,
      defaultSide: 1024,
      device: { type: 'cpu', id: 'cpu', name: expect.stringMatching(/./), threads: 2 },
      memory: expect.objectContaining({ tiling: { abovePixels: 2_097_152, tilePixels: 65_536 } }),
    });
    const { memoryUsed, memoryTotal } = engine.stats();
    expect(memoryUsed).toBeGreaterThan(10e6);
    expect(memoryTotal).toBeGreaterThan(memoryUsed);
  });

  it('draws the pixels that were asked for, and the same ones again', async () => {
    const progress: Progress[] = [];
    const follow = progressInto(progress);
    const first = await engine.generate('a', request({ width: 64, height: 48, numImages: 2 }), follow);
    expect(first.images.map(({ width, height, channels, data }) => [width, height, channels, data.length])).toEqual([
      [64, 48, 3, 64 * 48 * 3],
      [64, 48, 3, 64 * 48 * 3],
    ]);
    expect(first.vaeTiled).toBe(false);
    expect(first.timings.totalMs).toBeGreaterThan(first.timings.denoiseMs);
    const steps = progress.filter(({ stage }) => stage === 'denoise').map(({ image, step, total }) => [image, step, total]);
    expect(steps).toEqual([
      [0, 1, 2],
      [0, 2, 2],
      [1, 1, 2],
      [1, 2, 2],
    ]);

    const pixels = (result: typeof first) => result.images.map(({ data }) => Buffer.from(data));
    const [zeroth, second] = pixels(first);
    expect(pixels(await engine.generate('b', request({ width: 64, height: 48, numImages: 2 }), ignore))).toEqual([
      zeroth,
      second,
    ]);
    // Image k is what seed + k draws alone.
    expect(pixels(await engine.generate('c', request({ width: 64, height: 48, seed: 8 }), ignore))).toEqual([second]);
    expect(zeroth).not.toEqual(second);
  });

  it('shows what is coming, in order with the steps, and draws the same', async () => {
    const asked = request({ width: 64, height: 48, numInferenceSteps: 4, numImages: 2 });
    const seen: string[] = [];
    const previews: Preview[] = [];
    const result = await engine.generate('a', { ...asked, previews: 2 }, (event) => {
      if ('picture' in event) {
        previews.push(event);
        seen.push(`preview ${event.image}.${event.index} after ${event.step}`);
      } else if (event.stage === 'denoise') seen.push(`step ${event.image}.${event.step}`);
    });
    expect(seen).toEqual(
      [0, 1].flatMap((image) => [
        `step ${image}.1`,
        `preview ${image}.0 after 1`,
        `step ${image}.2`,
        `step ${image}.3`,
        `preview ${image}.1 after 3`,
        `step ${image}.4`,
      ]),
    );
    for (const { picture } of previews) {
      expect(picture).toMatchObject({ width: 32, height: 24, channels: 3 });
      expect(picture.data.length).toBe(32 * 24 * 3);
      expect(new Set(picture.data).size).toBeGreaterThan(10);
    }
    const plain = await engine.generate('b', asked, ignore);
    expect(result.images.map(({ data }) => Buffer.from(data))).toEqual(plain.images.map(({ data }) => Buffer.from(data)));
  });

  describe('of a start picture in a file', () => {
    const size = { width: 40, height: 24, channels: 3 as const };
    const data = Uint8Array.from({ length: 40 * 24 * 3 }, (_, i) => (i * 7) % 256);
    let folder: string;
    let path: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'pixels-'));
      path = join(folder, 'pixels');
      writeFileSync(path, data);
    });
    afterEach(() => rmSync(folder, { recursive: true }));
    const draw = (image: NonNullable<NativeRequest['image']>) =>
      engine.generate('a', request({ image, strength: 0.5, numInferenceSteps: 4 }), ignore);

    it('draws as of the same pixels in the request', async () => {
      const [fromFile, fromData] = [await draw({ ...size, path }), await draw({ ...size, data })];
      expect(fromFile.images).toEqual(fromData.images);
    });

    it.each([0, data.length - 1, data.length + 1])('refuses a file of %d bytes', async (length) => {
      writeFileSync(path, Buffer.alloc(length));
      await expect(draw({ ...size, path })).rejects.toEqual(failure('INVALID_ARGUMENT', `image.path: expected a file of`));
    });

    it('reads no folder, no link and nothing that is not there', async () => {
      symlinkSync(path, join(folder, 'link'));
      await expect(draw({ ...size, path: folder })).rejects.toEqual(failure('INVALID_ARGUMENT', 'image.path'));
      await expect(draw({ ...size, path: join(folder, 'link') })).rejects.toEqual(failure('INTERNAL', 'image.path'));
      await expect(draw({ ...size, path: join(folder, 'nothing') })).rejects.toEqual(failure('INTERNAL', 'image.path'));
      await expect(draw({ ...size, path })).resolves.toBeDefined();
    });
  });

  it('shows the picture that it draws', async () => {
    const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (Math.floor(i / 3) % 64 < 32 ? 250 : 5));
    const start = { image: { width: 64, height: 64, channels: 3 as const, data }, strength: 0.15, trueCfgScale: 1 };
    const shown: RawImage[] = [];
    const { images } = await engine.generate('a', request({ ...start, numInferenceSteps: 20, previews: 2 }), (event) => {
      if ('picture' in event) shown.push(event.picture);
    });
    expect(shown).toHaveLength(2);
    for (const picture of [...shown, ...images]) {
      const { left, right } = meansOfHalves(picture);
      expect(left).toBeGreaterThan(right + 50);
    }
  });

  it('loses no preview to a JavaScript thread that is late', async () => {
    const seen: string[] = [];
    let ended = false;
    const job = engine.generate('a', request({ width: 32, height: 32, numInferenceSteps: 80, previews: 3 }), (event) => {
      if ('picture' in event) seen.push(`preview ${event.step}`);
    });
    void job.then(() => (ended = true));
    // As long as this thread works, nothing is delivered: more than the channel keeps of progress has to wait.
    const until = Date.now() + 3000;
    while (Date.now() < until) engine.stats();
    expect(ended).toBe(false);
    await job;
    expect(seen).toEqual(['preview 20', 'preview 40', 'preview 60']);
  });

  it('starts from a picture', async () => {
    const image = { width: 20, height: 30, channels: 3 as const, data: new Uint8Array(20 * 30 * 3).fill(200) };
    const progress: Progress[] = [];
    const follow = progressInto(progress);
    const { images } = await engine.generate('a', request({ image, strength: 0.5, numInferenceSteps: 4 }), follow);
    expect(images).toHaveLength(1);
    expect(progress.find(({ stage }) => stage === 'denoise')?.total).toBe(2);
  });

  it.each<[string, unknown]>([
    ['promptIds', [1, 2]],
    ['promptIds', new Float32Array(40)],
    ['negativePromptIds', 'x'],
    ['dropIndex', -1],
    ['maxSequenceLength', '512'],
    ['width', 64.5],
    ['height', null],
    ['numInferenceSteps', NaN],
    ['trueCfgScale', Infinity],
    ['trueCfgScale', '4'],
    ['seed', 2 ** 53],
    ['seed', -1],
    ['numImages', 1n],
    ['image', 'x'],
    ['image.width', { width: '1', height: 1, channels: 3, data: new Uint8Array(3) }],
    ['image.data', { width: 2, height: 2, channels: 3, data: new Uint8Array(11) }],
    ['image.data', { width: 2, height: 2, channels: 3, data: new Uint16Array(12) }],
    ['image.data', { width: 2 ** 40, height: 2 ** 40, channels: 3, data: new Uint8Array(12) }],
    ['strength', true],
    ['previews', 1.5],
    ['previews', '1'],
  ])('refuses %s = %p by its name', async (name, value) => {
    const change = { [name.split('.')[0] ?? name]: value };
    await expect(engine.generate('a', request(change), ignore)).rejects.toEqual(failure('INVALID_ARGUMENT', `${name}: expected`));
  });

  it('refuses a job id, a request and a callback of the wrong type', async () => {
    await expect(engine.generate(1 as never, request(), ignore)).rejects.toEqual(failure('INVALID_ARGUMENT', 'jobId'));
    await expect(engine.generate('a', [] as never, ignore)).rejects.toEqual(failure('INVALID_ARGUMENT', 'request'));
    await expect(engine.generate('a', request(), undefined as never)).rejects.toEqual(failure('INVALID_ARGUMENT', 'onEvent'));
    expect(() => engine.cancel(1 as never)).toThrow('jobId: expected a string');
  });

  it.each<[string, Partial<NativeRequest>]>([
    ['a width that is no multiple', { width: 65 }],
    ['a side of nothing', { height: 0 }],
    ['a token id beyond the vocabulary', { promptIds: new Int32Array(40).fill(2 ** 31 - 1) }],
    ['a negative token id', { promptIds: new Int32Array(40).fill(-1) }],
    ['no steps', { numInferenceSteps: 0 }],
    ['fewer tokens than are dropped', { promptIds: new Int32Array(10) }],
    ['no images', { numImages: 0 }],
    ['four previews', { previews: 4 }],
  ])('refuses %s and goes on working', async (_, change) => {
    await expect(engine.generate('a', request(change), ignore)).rejects.toEqual(failure('INVALID_ARGUMENT'));
    await expect(engine.generate('b', request(), ignore)).resolves.toBeDefined();
  });

  it('runs jobs in the order in which they came', async () => {
    const ended: string[] = [];
    await Promise.all(['a', 'b', 'c'].map((id) => engine.generate(id, request(), ignore).then(() => ended.push(id))));
    expect(ended).toEqual(['a', 'b', 'c']);
  });

  it('takes a job id once at a time', async () => {
    const first = engine.generate('a', request(), ignore);
    await expect(engine.generate('a', request(), ignore)).rejects.toEqual(failure('INVALID_ARGUMENT', 'jobId'));
    await first;
    await expect(engine.generate('a', request(), ignore)).resolves.toBeDefined();
  });

  it('cancels a job in mid-run, and the next one works', async () => {
    let cancelled: boolean | null = null;
    let steps = 0;
    const job = engine.generate('a', long(), (event) => {
      if (!('stage' in event) || event.stage !== 'denoise') return;
      steps += 1;
      cancelled ??= engine.cancel('a');
    });
    await expect(job).rejects.toEqual(failure('CANCELLED'));
    expect(cancelled).toBe(true);
    expect(steps).toBeLessThan(100);
    await expect(engine.generate('b', request(), ignore)).resolves.toBeDefined();
  });

  it('cancels a waiting job alone', async () => {
    const running = engine.generate('running', request(), ignore);
    const waiting = engine.generate('waiting', request(), ignore);
    expect(engine.cancel('waiting')).toBe(true);
    await expect(waiting).rejects.toEqual(failure('CANCELLED'));
    await expect(running).resolves.toBeDefined();
  });

  it('does nothing for the cancel of another job', async () => {
    const job = engine.generate('a', request(), ignore);
    expect(engine.cancel('someone else')).toBe(false);
    await expect(job).resolves.toBeDefined();
    expect(engine.cancel('a')).toBe(false);
  });

  it('remembers a cancel that comes before its job, once', async () => {
    expect(engine.cancel('early')).toBe(false);
    await expect(engine.generate('early', request(), ignore)).rejects.toEqual(failure('CANCELLED'));
    await expect(engine.generate('early', request(), ignore)).resolves.toBeDefined();
  });
});

describe('dispose', () => {
  it('ends what runs, may come twice, and is the end', async () => {
    const engine = new addon.Engine();
    await engine.load(demo, loadOptions);
    const running = engine.generate('a', long(), ignore);
    const outcome = expect(running).rejects.toEqual(failure('CANCELLED'));
    await Promise.all([engine.dispose(), engine.dispose()]);
    await outcome;
    await engine.dispose();

    const gone = failure('ENGINE_UNAVAILABLE', 'disposed');
    await expect(engine.load(demo, loadOptions)).rejects.toEqual(gone);
    await expect(engine.generate('b', request(), ignore)).rejects.toEqual(gone);
    expect(() => engine.stats()).toThrow('disposed');
    expect(engine.cancel('a')).toBe(false);
  });

  it('leaves other engines of the process alone', async () => {
    const [one, other] = [new addon.Engine(), new addon.Engine()];
    await Promise.all([one.load(demo, loadOptions), other.load(demo, loadOptions)]);
    await one.dispose();
    await expect(other.generate('a', request(), ignore)).resolves.toBeDefined();
    await other.dispose();
  });
});

describe(toEngineError.name, () => {
  it('makes an error of the addon one of ours', async () => {
    const engine = new addon.Engine();
    const error = toEngineError(await engine.load('/nowhere', loadOptions).catch((thrown: unknown) => thrown));
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ code: 'INVALID_MODEL', message: expect.stringContaining('/nowhere') });
    await engine.dispose();
  });
});

describe('a process that can start no thread', () => {
  it.each(['load', 'dispose'])('is told so by the promise of %s', (call) => {
    const command = [process.execPath, join(__dirname, 'no-thread.js'), call];
    const output = execFileSync('prlimit', [`--stack=${64 * 2 ** 20}:`, ...command], { encoding: 'utf8' });
    expect(output).toBe('rejects with OUT_OF_MEMORY\n');
  });
});

describe('the end of a process in mid-run', () => {
  const script = join(__dirname, 'exit-in-mid-run.js');

  it.each([
    ['process.exit on the main thread', 'exit', 7],
    ['process.exit while the model is loaded', 'exit-in-load', 7],
    ['an engine that was collected', 'collect', 0],
    ['worker.terminate, and the main thread goes on', 'terminate', 0],
    ['worker.terminate with a result that nobody has taken', 'terminate-late', 0],
  ])('by %s is clean', async (_, mode, exitCode) => {
    const child = spawn(process.execPath, ['--expose-gc', script, mode, demo], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    expect({ code, signal, output }).toEqual({ code: exitCode, signal: null, output: 'as planned\n' });
  });
});
