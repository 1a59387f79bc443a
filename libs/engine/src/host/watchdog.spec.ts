import type { FromHost } from '../engine.messages.js';
import type { EngineTimings, GenerateRequest, Progress } from '../engine.types.js';
import { StageEstimate } from './stage-estimate.js';
import { unknownStageMs, Watchdog } from './watchdog.js';

const hangMs = 8000;
const tickMs = 1000;

const request: GenerateRequest = {
  prompt: 'a red circle',
  negativePrompt: ' ',
  width: 64,
  height: 64,
  numInferenceSteps: 4,
  trueCfgScale: 4,
  seed: 1,
  numImages: 2,
  maxSequenceLength: 512,
};

describe(Watchdog.name, () => {
  let estimate: StageEstimate;
  let watchdog: Watchdog;
  let reasons: string[];
  let loadedBytes: number;

  beforeEach(() => {
    jest.useFakeTimers();
    estimate = new StageEstimate();
    reasons = [];
    loadedBytes = 5_000_000;
    watchdog = new Watchdog({ hangMs, stageFactor: 10 }, estimate, (reason) => {
      reasons.push(reason);
      watchdog.stop();
    });
  });
  afterEach(() => {
    watchdog.stop();
    jest.useRealTimers();
  });

  /** The host gives its signs of life, and nothing else, for so long. */
  function passAlive(ms: number): void {
    for (let passed = 0; passed < ms; passed += tickMs) {
      jest.advanceTimersByTime(tickMs);
      watchdog.received({ type: 'alive', loadedBytes });
    }
  }

  function generate(jobId: string): void {
    watchdog.sent({ type: 'generate', jobId, request });
  }

  function progress(jobId: string, stage: Progress['stage'], image: number, step: number): void {
    watchdog.received({ type: 'progress', jobId, progress: { stage, image, step, total: 4 } });
  }

  function resultOf(jobId: string, timings: EngineTimings): FromHost {
    return { type: 'result', jobId, result: { images: [], timings, vaeTiled: false, warnings: [] } };
  }

  /** A finished job whose stages took so long. */
  function learn(encodeMs: number, denoiseMs: number, decodeMs: number): void {
    estimate.record(request, { encodeMs, denoiseMs, decodeMs, totalMs: 0 });
  }

  it('lets a host live that is silent for as long as is allowed, and no longer', () => {
    jest.advanceTimersByTime(hangMs);
    expect(reasons).toEqual([]);
    jest.advanceTimersByTime(tickMs);
    expect(reasons).toEqual(['no sign of life for 8000 ms']);
  });

  it('asks an idle host for signs of life alone', () => {
    learn(1, 1, 1);
    passAlive(10 * hangMs);
    generate('a');
    watchdog.received(resultOf('a', { encodeMs: 1, denoiseMs: 1, decodeMs: 1, totalMs: 3 }));
    passAlive(10 * hangMs);
    expect(reasons).toEqual([]);
  });

  it('takes only what is beyond any use for hung while it knows no times', () => {
    generate('a');
    passAlive(unknownStageMs);
    expect(reasons).toEqual([]);
    passAlive(tickMs);
    expect(reasons).toEqual([`no progress in stage encode for ${unknownStageMs} ms`]);
  });

  it('allows each stage the times that it usually takes', () => {
    learn(2000, 3000, 4000);
    generate('a');
    passAlive(20_000);
    progress('a', 'encode', 0, 0);
    passAlive(30_000);
    progress('a', 'denoise', 0, 4); // the second image is still to be drawn
    passAlive(30_000);
    progress('a', 'denoise', 1, 4);
    passAlive(40_000);
    progress('a', 'decode', 0, 4);
    passAlive(40_000);
    expect(reasons).toEqual([]);
    passAlive(tickMs);
    expect(reasons).toEqual(['no progress in stage decode for 40000 ms']);
  });

  it('takes a preview for a sign of the denoising', () => {
    learn(1, 3000, 1);
    generate('a');
    progress('a', 'encode', 0, 0);
    passAlive(30_000);
    const picture = { width: 1, height: 1, channels: 3 as const, data: new Uint8Array(3) };
    watchdog.received({ type: 'preview', jobId: 'a', preview: { image: 0, index: 0, step: 2, picture } });
    passAlive(30_000);
    expect(reasons).toEqual([]);
    passAlive(tickMs);
    expect(reasons).toEqual(['no progress in stage denoise for 30000 ms']);
  });

  it('allows a quick stage the silence that a host is allowed', () => {
    learn(1, 1, 1);
    generate('a');
    passAlive(hangMs);
    expect(reasons).toEqual([]);
    passAlive(tickMs);
    expect(reasons).toEqual(['no progress in stage encode for 8000 ms']);
  });

  it('waits for a stage that is loading its model, as long as that goes on', () => {
    learn(1, 1, 1);
    generate('a');
    for (let i = 0; i < 5; i++) {
      passAlive(hangMs - tickMs);
      loadedBytes += 1;
    }
    passAlive(hangMs + tickMs);
    expect(reasons).toEqual([]);
    passAlive(tickMs);
    expect(reasons).toEqual(['no progress in stage encode for 8000 ms']);
  });

  it('learns from the jobs that it sees end', () => {
    generate('a');
    watchdog.received(resultOf('a', { encodeMs: 1, denoiseMs: 1, decodeMs: 1, totalMs: 3 }));
    generate('b');
    passAlive(hangMs + tickMs);
    expect(reasons).toHaveLength(1);
  });

  it('does not blame a job for the time that it waited behind another', () => {
    learn(1, 1, 1);
    generate('a');
    generate('b');
    passAlive(hangMs);
    watchdog.received({ type: 'failed', jobId: 'a', error: { code: 'CANCELLED', message: '' } });
    passAlive(hangMs);
    expect(reasons).toEqual([]);
  });

  it('does not count the time that a machine slept', () => {
    jest.setSystemTime(Date.now() + 10 * hangMs);
    jest.advanceTimersByTime(tickMs);
    expect(reasons).toEqual([]);
  });
});
