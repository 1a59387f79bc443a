import { EngineError, HostLostError } from '@app/engine';
import { ImageDecoder, ImageEncoder } from '@app/image-processing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobImage } from './job.js';
import { JobRunner } from './job-runner.js';
import { jobRequest, newJob } from '../../../test/fixtures/job-request.js';
import { plainResult, ScriptedEngine } from '../../../test/fixtures/scripted-engine.js';

const software = { name: 'qwen-image-server', version: '1.2.3' };
const bytes = readFileSync(join(__dirname, '../../../test/fixtures/quadrants.png'));
const picture = { field: 'image', bytes };

function newRunner(engine: ScriptedEngine): JobRunner {
  const decoder = new ImageDecoder({ maxInputPixels: 10_000, decodeTimeoutMs: 10_000 });
  // The engine is used through its public methods alone, which the script has.
  return new JobRunner(engine as never, decoder, new ImageEncoder(), { name: 'demo', residency: 'resident' }, software);
}

const never = new AbortController().signal;

function fileOf(image: JobImage | undefined): Buffer {
  return image?.bytes ?? Buffer.alloc(0);
}

describe(JobRunner.name, () => {
  let engine: ScriptedEngine;
  let runner: JobRunner;

  beforeEach(() => {
    engine = new ScriptedEngine();
    runner = newRunner(engine);
  });

  it('draws, encodes and tells what was used', async () => {
    const { images, parameters, timings } = await runner.run(newJob(), never);
    expect(images).toMatchObject([{ seed: 1, width: 16, height: 16, format: 'png' }]);
    const drawn = await new ImageDecoder({ maxInputPixels: 1000, decodeTimeoutMs: 10_000 }).decode({
      field: 'image',
      bytes: fileOf(images[0]),
    });
    expect([...new Set(drawn.data)]).toEqual([1]);
    expect(parameters).toEqual({
      prompt: 'a red circle',
      negative_prompt: ' ',
      width: 16,
      height: 16,
      num_inference_steps: 4,
      true_cfg_scale: 4,
      seed: 1,
      num_images: 1,
      max_sequence_length: 512,
      output_format: 'png',
      output_metadata: true,
      vae_tiling: false,
      residency: 'resident',
    });
    expect(timings).toMatchObject({ encodeMs: 1, denoiseMs: 2, decodeMs: 3 });
  });

  it('gives image k the seed it can be drawn again with, in the answer and in the file', async () => {
    const { generate } = jobRequest();
    const { images } = await runner.run(newJob({ generate: { ...generate, seed: 7, numImages: 3 } }), never);
    expect(images.map(({ seed }) => seed)).toEqual([7, 8, 9]);
    const file = fileOf(images[2]);
    expect(file.includes('"seed":9')).toBe(true);
    expect(file.includes('"num_images":1')).toBe(true);
    expect(file.includes('"software":"qwen-image-server 1.2.3"')).toBe(true);
  });

  it('hands the start picture over as pixels and marks the result as a composite', async () => {
    const { generate } = jobRequest();
    const job = newJob({ kind: 'image-to-image', imageFile: picture, generate: { ...generate, strength: 0.5 } });
    const { images, parameters } = await runner.run(job, never);
    expect(engine.requests[0]?.image).toMatchObject({ width: 96, height: 96, channels: 3 });
    expect(parameters).toMatchObject({ strength: 0.5 });
    expect(fileOf(images[0]).includes('compositeWithTrainedAlgorithmicMedia')).toBe(true);
  });

  it('asks the engine nothing when the start picture is broken', async () => {
    const job = newJob({ kind: 'image-to-image', imageFile: { field: 'image', bytes: bytes.subarray(0, 200) } });
    await expect(runner.run(job, never)).rejects.toMatchObject({ code: 'INVALID_IMAGE' });
    expect(engine.requests).toHaveLength(0);
  });

  it('tells the queue that the host ended under the job', async () => {
    const lost = new HostLostError('the engine host ended (signal SIGSEGV)');
    engine.answer = () => Promise.reject(lost);
    await expect(runner.run(newJob(), never)).rejects.toBe(lost);
  });

  it('waits for the next host when the last one went before it had the job', async () => {
    engine.become({ state: 'restarting' });
    const drawn = runner.run(newJob(), never);
    expect(engine.requests).toHaveLength(0);
    engine.become({ state: 'ready' });
    expect((await drawn).images).toHaveLength(1);
  });

  it('ends that wait with its signal', async () => {
    engine.become({ state: 'restarting' });
    const stop = new AbortController();
    const drawn = runner.run(newJob(), stop.signal);
    const reason = new Error('stopped');
    stop.abort(reason);
    await expect(drawn).rejects.toBe(reason);
  });

  it('says when to come again if the engine refuses the job', async () => {
    engine.answer = () => {
      engine.become({ state: 'restarting', retryAfterS: 4 });
      return Promise.reject(new EngineError('ENGINE_UNAVAILABLE', 'no model is loaded'));
    };
    await expect(runner.run(newJob(), never)).rejects.toMatchObject({
      name: 'ServiceError',
      code: 'ENGINE_UNAVAILABLE',
      retryAfterS: 4,
    });
  });

  it('passes the signal down and progress up', async () => {
    const stop = new AbortController();
    engine.answer = (_id, request, options) => {
      expect(options?.signal).toBe(stop.signal);
      options?.onProgress?.({ stage: 'denoise', image: 0, step: 1, total: 4 });
      return Promise.resolve(plainResult(request));
    };
    const job = newJob();
    await runner.run(job, stop.signal);
    expect(job.progress).toEqual({ stage: 'denoise', image: 0, step: 1, total: 4 });
  });

  it('takes an engine that gives too few images for broken', async () => {
    engine.answer = (_id, request) => Promise.resolve({ ...plainResult(request), images: [] });
    await expect(runner.run(newJob(), never)).rejects.toThrow('gave 0 images, asked for 1');
  });

  it('is ready when the engine is, and says so when it never will be', async () => {
    engine.become({ state: 'restarting' });
    const ready = runner.whenReady();
    engine.become({ state: 'ready' });
    await ready;
    engine.become({ state: 'failed' });
    await expect(runner.whenReady()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  it('gives up on an engine whose hosts do not come up, one after the other', async () => {
    engine.become({ state: 'restarting', failedStarts: 2 });
    const ready = runner.whenReady();
    engine.become({ failedStarts: 3, retryAfterS: 20 });
    await expect(ready).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', retryAfterS: 20 });
  });
});
