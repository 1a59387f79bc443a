import { demoModel, ScriptedEngine } from '../../../../test/fixtures/scripted-engine.js';
import { jobRequest, newJob } from '../../../../test/fixtures/job-request.js';
import type { JobRequest } from '../job.types.js';
import { DurationEstimate } from './duration-estimate.js';

function request(changes: Partial<JobRequest['generate']> = {}): JobRequest {
  const { generate } = jobRequest();
  return jobRequest({ generate: { ...generate, width: 32, height: 32, numInferenceSteps: 10, trueCfgScale: 4, ...changes } });
}

describe(DurationEstimate.name, () => {
  let engine: ScriptedEngine;
  let estimate: DurationEstimate;

  beforeEach(() => {
    engine = new ScriptedEngine();
    estimate = new DurationEstimate(engine);
  });

  it('knows nothing before anything was measured', () => {
    expect(estimate.runMs(request())).toBeNull();
    expect(estimate.usualMs()).toBe(0);
    expect(estimate.remainingMs(newJob())).toBeNull();
  });

  it('tells steps, guidance and pictures apart from the rest', () => {
    // 20 passes in 2000 ms, and 500 ms of prompts, decoding and files.
    estimate.record(request(), { denoiseMs: 2000 }, 2500);
    expect(estimate.runMs(request())).toBe(2500);
    expect(estimate.runMs(request({ numInferenceSteps: 50 }))).toBe(10_500);
    expect(estimate.runMs(request({ trueCfgScale: 1 }))).toBe(1500);
    expect(estimate.runMs(request({ numImages: 3 }))).toBe(7500);
    expect(estimate.usualMs()).toBe(2500);
  });

  it.each([
    [10, 0.6, 6],
    [10, 0.05, 1],
    [10, 0.75, 8],
    [20, 1, 20],
    [4, 1e-9, 1],
  ])('counts the steps of %i at strength %d that are really run: %i', (numInferenceSteps, strength, steps) => {
    estimate.record(request({ numInferenceSteps: 1, trueCfgScale: 1 }), { denoiseMs: 100 }, 100);
    expect(estimate.runMs(request({ numInferenceSteps, strength, trueCfgScale: 1 }))).toBe(steps * 100);
  });

  it('follows what it measures, a new one a good part of the way', () => {
    estimate.record(request(), { denoiseMs: 1000 }, 1000);
    estimate.record(request(), { denoiseMs: 2000 }, 2000);
    expect(estimate.runMs(request())).toBe(1300);
    for (let i = 0; i < 40; i++) estimate.record(request(), { denoiseMs: 2000 }, 2000);
    expect(estimate.runMs(request())).toBeCloseTo(2000, 0);
    expect(estimate.usualMs()).toBeCloseTo(2000, 0);
  });

  it('keeps sizes apart, and takes the line between those around one that was never drawn', () => {
    estimate.record(request(), { denoiseMs: 1000 }, 1000);
    estimate.record(request({ width: 256, height: 256 }), { denoiseMs: 90_000 }, 90_000);
    expect(estimate.runMs(request())).toBe(1000);
    expect(estimate.runMs(request({ width: 256, height: 256 }))).toBe(90_000);
    const half = (32 * 32 + 256 * 256) / 2;
    expect(estimate.runMs(request({ width: half / 16, height: 16 }))).toBeCloseTo(45_500, 6);
    expect(estimate.runMs(request({ width: 512, height: 256 }))).toBe(180_000);
    expect(estimate.runMs(request({ width: 16, height: 32 }))).toBe(500);
  });

  it('takes a size that was never drawn for no longer than it must be', () => {
    expect(estimate.leastMs(request())).toBe(0);
    estimate.record(request({ width: 64, height: 64 }), { denoiseMs: 1000 }, 1600);
    expect(estimate.leastMs(request({ width: 64, height: 64 }))).toBe(1600);
    // Most of it may not grow with the pixels at all, or all of it with their square.
    expect(estimate.leastMs(request({ width: 1024, height: 1024 }))).toBe(1600);
    expect(estimate.leastMs(request({ width: 1024, height: 1024, numInferenceSteps: 100, numImages: 2 }))).toBe(21_200);
    expect(estimate.leastMs(request({ width: 32, height: 32 }))).toBe(100);
    estimate.record(request({ width: 1024, height: 1024 }), { denoiseMs: 256_000 }, 256_000);
    expect(estimate.leastMs(request({ width: 512, height: 512 }))).toBe(16_000);
  });

  it('holds nobody to what one run took, when others were faster', () => {
    estimate.record(request(), { denoiseMs: 40_000 }, 40_000);
    expect(estimate.leastMs(request())).toBe(40_000);
    estimate.record(request(), { denoiseMs: 1000 }, 1000);
    expect(estimate.leastMs(request())).toBe(1000);
    estimate.record(request(), { denoiseMs: 2000 }, 2000);
    expect(estimate.leastMs(request())).toBe(1300);
  });

  it('refuses nothing any more by what was measured a minute ago: what is refused is not measured', () => {
    const clock = jest.spyOn(performance, 'now').mockReturnValue(0);
    estimate.record(request(), { denoiseMs: 40_000 }, 40_000);
    clock.mockReturnValue(59_999);
    expect(estimate.leastMs(request())).toBe(40_000);
    expect(estimate.leastMs(request({ width: 64 }))).toBe(40_000);
    clock.mockReturnValue(60_000);
    expect(estimate.leastMs(request())).toBe(0);
    expect(estimate.leastMs(request({ width: 64 }))).toBe(0);
    expect(estimate.runMs(request())).toBe(40_000);
    clock.mockRestore();
  });

  it('begins anew with another model, not with the same one in a new host', () => {
    engine.become({ state: 'ready' });
    estimate.record(request(), { denoiseMs: 1000 }, 1000);
    engine.become({ state: 'restarting' });
    engine.become({ state: 'ready' });
    expect(estimate.runMs(request())).toBe(1000);
    engine.become({ state: 'unloaded', model: null });
    engine.become({ state: 'ready', model: { ...demoModel, sha256: 'f'.repeat(64) } });
    expect(estimate.runMs(request())).toBeNull();
    expect(estimate.usualMs()).toBe(0);
  });

  it('does not tell width from height', () => {
    estimate.record(request({ width: 64, height: 16 }), { denoiseMs: 1000 }, 1000);
    expect(estimate.runMs(request())).toBe(1000);
  });

  it('remembers a few sizes, the ones that were asked for last', () => {
    estimate.record(request({ width: 4096, height: 4096 }), { denoiseMs: 1 }, 1);
    for (let i = 0; i < 64; i++) estimate.record(request({ width: 16 * (i + 1), height: 16 }), { denoiseMs: 1000 }, 1000);
    expect(estimate.runMs(request({ width: 4096, height: 4096 }))).toBe((1000 * 4096 * 4096) / (1024 * 16));
  });

  it('tells what is left of a running job, which is never less than nothing', () => {
    estimate.record(request(), { denoiseMs: 1000 }, 1000);
    const left = (runMs: number) => estimate.remainingMs({ request: request(), runMs, progress: null });
    expect([left(0), left(400.4), left(1500)]).toEqual([1000, 600, 0]);
  });

  it('guesses from the progress of a job of a size that was never drawn', () => {
    const left = (step: number, image = 0, numImages = 1) =>
      estimate.remainingMs({
        ...{ request: request({ numImages }), runMs: 1000 },
        progress: { stage: 'denoise', image, step, total: 10 },
      });
    expect([left(5), left(10), left(5, 1, 2)]).toEqual([1000, 0, 333]);
    expect(
      estimate.remainingMs({ request: request(), runMs: 1000, progress: { stage: 'encode', image: 0, step: 1, total: 1 } }),
    ).toBeNull();
  });
});
