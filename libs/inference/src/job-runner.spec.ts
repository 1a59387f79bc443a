import { EngineError, HostLostError } from '@app/engine';
import { ImageDecoder, ImageEncoder } from '@app/image-processing';
import { createLogger, createNestLogger, MetricsRegistry, withContext } from '@app/observability';
import { Logger } from '@nestjs/common';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { newJob, jobRequest } from '../../../test/fixtures/job-request.js';
import { MemoryJobStore } from '../../../test/fixtures/memory.job-store.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { demoModel, plainResult, ScriptedEngine } from '../../../test/fixtures/scripted-engine.js';
import { Admission } from './admission.js';
import { JobLedger } from './job-ledger.js';
import { JobMetrics } from './job-metrics.js';
import { JobRunner } from './job-runner.js';
import type { Job } from './job.js';
import type { JobImage, JobOrder, JobRequest } from './job.types.js';
import { DurationEstimate } from './queue/duration-estimate.js';
import { ResultEncoder } from './result-encoder.js';

const software = { name: 'qwen-image-server', version: '1.2.3' };
const bytes = readFileSync(join(__dirname, '../../../test/fixtures/quadrants.png'));
const never = new AbortController().signal;

function fileOf(image: JobImage | undefined): Buffer {
  return image?.bytes ?? Buffer.alloc(0);
}

describe(JobRunner.name, () => {
  let engine: ScriptedEngine;
  let store: MemoryJobStore;
  let ledger: JobLedger;
  let estimate: DurationEstimate;
  let runner: JobRunner;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(() => {
    engine = new ScriptedEngine();
    store = new MemoryJobStore();
    ledger = new JobLedger(store, { ttlMs: 60_000, maxBytes: Infinity });
    estimate = new DurationEstimate(engine);
    const decoder = new ImageDecoder({ maxInputPixels: 1_000_000, decodeTimeoutMs: 10_000 });
    const encoder = new ResultEncoder(new ImageEncoder(), decoder, software);
    const admission = new Admission(engine as never, { minSide: 32, maxSide: 4096, maxPixels: 4194304, maxSteps: 200 });
    // The engine is used through its public methods alone, which the script has.
    runner = new JobRunner(
      engine as never,
      decoder,
      encoder,
      ledger,
      estimate,
      admission,
      new JobMetrics(new MetricsRegistry()),
      {
        residency: 'resident',
      },
    );
  });

  /** Accepted, and about to run. */
  async function runningJob(
    changes: Partial<JobRequest> = {},
    order: Partial<JobOrder> = {},
    file: Buffer = bytes,
  ): Promise<Job> {
    const job = newJob(changes, order);
    await ledger.add(
      job,
      job.request.inputs.map((field) => ({ field, bytes: file })),
    );
    ledger.track(job, new Promise(() => {}));
    job.moveTo('running');
    return job;
  }

  it('draws, encodes and tells what was used', async () => {
    const { images, parameters, timings } = await runner.run(await runningJob(), never);
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
    expect(timings.totalMs).toBeGreaterThanOrEqual(timings.queueMs);
  });

  it('gives image k the seed it can be drawn again with, in the answer and in the file', async () => {
    const { generate } = jobRequest();
    const { images } = await runner.run(await runningJob({ generate: { ...generate, seed: 7, numImages: 3 } }), never);
    expect(images.map(({ seed }) => seed)).toEqual([7, 8, 9]);
    const file = fileOf(images[2]);
    expect(file.includes('"seed":9')).toBe(true);
    expect(file.includes('"num_images":1')).toBe(true);
    expect(file.includes('"software":"qwen-image-server 1.2.3"')).toBe(true);
  });

  it('hands the start picture over as pixels and marks the result as a composite', async () => {
    const { generate } = jobRequest();
    const job = await runningJob({ kind: 'image-to-image', inputs: ['image'], generate: { ...generate, strength: 0.5 } });
    const { images, parameters } = await runner.run(job, never);
    expect(engine.requests[0]?.image).toMatchObject({ width: 96, height: 96, channels: 3 });
    expect(parameters).toMatchObject({ strength: 0.5 });
    expect(fileOf(images[0]).includes('compositeWithTrainedAlgorithmicMedia')).toBe(true);
  });

  it('hands a large start picture over as a file, and takes it back when the run has failed', async () => {
    const large = await new ImageEncoder().encode(
      { width: 600, height: 600, channels: 3, data: Buffer.alloc(600 * 600 * 3, 90) },
      { format: 'png', quality: 0 },
      { fromImage: false, description: null },
    );
    const job = await runningJob({ kind: 'image-to-image', inputs: ['image'] }, {}, large);
    const lent: string[] = [];
    store.withPixelFile = async (jobId, pixels, use) => {
      lent.push(`${jobId} ${pixels.length}`);
      return use('/a/file').finally(() => lent.push('taken back'));
    };
    engine.answer = () => Promise.reject(new EngineError('OUT_OF_MEMORY', 'full'));
    await expect(runner.run(job, never)).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    expect(engine.requests[0]?.image).toEqual({ width: 600, height: 600, channels: 3, path: '/a/file' });
    expect(lent).toEqual([`${job.id} 1080000`, 'taken back']);
  });

  it('asks the engine nothing when the start picture is broken', async () => {
    const job = await runningJob({ kind: 'image-to-image', inputs: ['image'] }, {}, bytes.subarray(0, 200));
    await expect(runner.run(job, never)).rejects.toMatchObject({ code: 'INVALID_IMAGE' });
    expect(engine.requests).toHaveLength(0);
  });

  it('tells the queue that the host ended under the job', async () => {
    const lost = new HostLostError('the engine host ended (signal SIGSEGV)');
    engine.answer = () => Promise.reject(lost);
    await expect(runner.run(await runningJob(), never)).rejects.toBe(lost);
  });

  it('waits for the next host when the last one went before it had the job', async () => {
    engine.become({ state: 'restarting' });
    const drawn = runner.run(await runningJob(), never);
    await settled();
    expect(engine.requests).toHaveLength(0);
    engine.become({ state: 'ready' });
    expect((await drawn).images).toHaveLength(1);
  });

  it('asks the model that comes after that wait whether it can draw this, not the one before it', async () => {
    engine.become({ state: 'unloading' });
    const drawn = runner.run(await runningJob(), never);
    await settled();
    engine.become({ state: 'ready', model: { ...demoModel, sizeMultiple: 32 } });
    await expect(drawn).rejects.toMatchObject({ code: 'UNSUPPORTED_BY_MODEL' });
    expect(engine.requests).toHaveLength(0);
  });

  it('ends that wait with its signal', async () => {
    engine.become({ state: 'restarting' });
    const stop = new AbortController();
    const drawn = runner.run(await runningJob(), stop.signal);
    const reason = new Error('stopped');
    stop.abort(reason);
    await expect(drawn).rejects.toBe(reason);
  });

  it('says when to come again if the engine refuses the job', async () => {
    engine.answer = () => {
      engine.become({ state: 'restarting', retryAfterS: 4 });
      return Promise.reject(new EngineError('ENGINE_UNAVAILABLE', 'no model is loaded'));
    };
    await expect(runner.run(await runningJob(), never)).rejects.toMatchObject({
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
    const job = await runningJob();
    await runner.run(job, stop.signal);
    expect(job.progress).toEqual({ stage: 'denoise', image: 0, step: 1, total: 4 });
  });

  it('tells nothing more of a run that was stopped', async () => {
    const stop = new AbortController();
    const job = await runningJob({}, { previews: 2 });
    const previews = () => job.events.since(0).filter(({ name }) => name === 'preview').length;
    engine.answer = async (_id, request, options) => {
      options?.onProgress?.({ stage: 'denoise', image: 0, step: 1, total: 4 });
      options?.onPreview?.({ image: 0, index: 0, step: 1, picture: plainResult(request).images[0]! });
      while (previews() === 0) await settled();
      stop.abort();
      options?.onProgress?.({ stage: 'denoise', image: 0, step: 2, total: 4 });
      options?.onPreview?.({ image: 0, index: 1, step: 2, picture: plainResult(request).images[0]! });
      return plainResult(request);
    };
    await runner.run(job, stop.signal);
    expect(job.progress).toMatchObject({ step: 1 });
    expect(previews()).toBe(1);
  });

  it('takes an engine that gives too few images for broken', async () => {
    engine.answer = (_id, request) => Promise.resolve({ ...plainResult(request), images: [] });
    await expect(runner.run(await runningJob(), never)).rejects.toThrow('gave 0 images, asked for 1');
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

  it('waits for an engine that may never come, when nobody waits on a connection', async () => {
    engine.become({ state: 'failed' });
    await expect(runner.run(await runningJob(), never)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
    const drawn = runner.run(await runningJob({}, { async: true }), never);
    await settled();
    engine.become({ state: 'ready' });
    expect((await drawn).images).toHaveLength(1);
    engine.become({ state: 'stopped' });
    const ready = runner.whenReadyAtLast();
    engine.become({ state: 'restarting', failedStarts: 100 });
    engine.become({ state: 'ready' });
    await ready;
  });

  it('notes a run before the engine hears of it', async () => {
    const job = await runningJob({}, { async: true });
    engine.answer = (_id, request) => {
      expect(store.recordOf(job.id)).toMatchObject({ state: 'running', attempt: 1 });
      return Promise.resolve(plainResult(request));
    };
    await runner.run(job, never);
    expect(engine.requests).toHaveLength(1);
  });

  it('does not ask the engine for a job that was stopped while its run was noted', async () => {
    const stop = new AbortController();
    const job = await runningJob({}, { async: true });
    store.before = () => stop.abort(new Error('stopped'));
    engine.answer = (_id, _request, options) =>
      options?.signal?.aborted ? Promise.reject(new EngineError('CANCELLED', 'before it began')) : new Promise(() => {});
    await expect(runner.run(job, stop.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('tells progress with what is left, by the times that were learned', async () => {
    const job = await runningJob();
    estimate.record(job.request, { denoiseMs: 10_000 }, 10_000);
    engine.answer = (_id, request, options) => {
      options?.onProgress?.({ stage: 'denoise', image: 0, step: 1, total: 4 });
      return Promise.resolve(plainResult(request));
    };
    await runner.run(job, never);
    const [event] = job.events.since(0);
    expect(event).toMatchObject({ name: 'progress', data: { attempt: 1, stage: 'denoise', image: 0, step: 1, total: 4 } });
    const left = event?.data?.eta_ms as number;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(10_000);
  });

  it('tells previews as small files, once each, in their place among the steps', async () => {
    const job = await runningJob({}, { async: true, previews: 2 });
    const picture = { width: 8, height: 8, channels: 3 as const, data: new Uint8Array(8 * 8 * 3) };
    engine.answer = (_id, request, options) => {
      expect(request.previews).toBe(2);
      options?.onPreview?.({ image: 0, index: 0, step: 1, picture });
      options?.onProgress?.({ stage: 'denoise', image: 0, step: 1, total: 4 });
      options?.onPreview?.({ image: 0, index: 0, step: 1, picture });
      options?.onPreview?.({ image: 0, index: 1, step: 2, picture });
      return Promise.resolve(plainResult(request));
    };
    await runner.run(job, never);
    const events = job.events.since(0);
    expect(events.map(({ name, data }) => [name, data?.step])).toEqual([
      ['preview', 1],
      ['progress', 1],
      ['preview', 2],
    ]);
    expect(events[0]?.data).toMatchObject({ attempt: 1, image: 0, index: 0, width: 8, height: 8, format: 'jpeg' });
    const file = Buffer.from(events[0]?.data?.b64_json as string, 'base64');
    expect(
      await new ImageDecoder({ maxInputPixels: 100, decodeTimeoutMs: 10_000 }).decode({ field: 'image', bytes: file }),
    ).toMatchObject({ width: 8 });
    expect(await store.readPreviews(job.id)).toHaveLength(2);
  });

  it('leaves out a preview that cannot be stored, and draws on', async () => {
    const job = await runningJob({}, { async: true, previews: 1 });
    store.before = (call) => (call === 'addPreview' ? Promise.reject(new Error('ENOSPC')) : undefined);
    const picture = { width: 8, height: 8, channels: 3 as const, data: new Uint8Array(8 * 8 * 3) };
    engine.answer = (_id, request, options) => {
      options?.onPreview?.({ image: 0, index: 0, step: 1, picture });
      return Promise.resolve(plainResult(request));
    };
    expect((await runner.run(job, never)).images).toHaveLength(1);
    expect(job.events.since(0)).toEqual([]);
  });

  describe('in the log', () => {
    let records: PassThrough;
    beforeEach(() => {
      records = new PassThrough();
      Logger.overrideLogger(createNestLogger(createLogger({ level: 'info', format: 'json', prompts: false }, records)));
    });
    afterEach(() => void Logger.overrideLogger(false));

    async function logged(): Promise<Record<string, unknown>[]> {
      await settled();
      const text = (records.read() as Buffer | null)?.toString() ?? '';
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    }

    it('is what a client is told nothing of, under the request of its own job', async () => {
      const jobs = [await runningJob({}, { requestId: 'first' }), await runningJob({}, { requestId: 'second', owner: 'me' })];
      engine.answer = () => Promise.reject(new Error('no such luck'));
      for (const job of jobs) {
        await withContext({ requestId: 'of whoever woke the queue' }, () => runner.run(job, never)).catch(() => {});
      }
      const [first, second] = await logged();
      expect(first).toMatchObject({ level: 'error', requestId: 'first', jobId: jobs[0]?.id });
      expect(second).toMatchObject({ requestId: 'second', jobId: jobs[1]?.id, apiKey: 'me' });
      expect(JSON.stringify(first)).toContain('no such luck');
    });

    it('has nothing of the request that set the work going', async () => {
      const job = await runningJob({}, { requestId: 'mine' });
      const before = { requestId: 'of another', apiKey: 'of another', traceId: 'a'.repeat(32), engineMs: 549 };
      await withContext(before, async () => {
        await runner.run(job, never);
        job.moveTo('completed');
        await runner.settle(job, jobResult());
      });
      const [record] = await logged();
      expect(record).toMatchObject({ message: 'job completed', requestId: 'mine', jobId: job.id });
      for (const name of ['apiKey', 'traceId', 'engineMs']) expect(record).not.toHaveProperty(name);
    });

    it('is a host that was lost, and which run that was', async () => {
      const job = await runningJob({}, { requestId: 'mine' });
      engine.answer = () => Promise.reject(new HostLostError('the engine host ended (signal SIGKILL)'));
      await expect(runner.run(job, never)).rejects.toThrow();
      const message = `the engine host ended (signal SIGKILL) under job ${job.id}, in run 1 of at most 2`;
      expect(await logged()).toMatchObject([{ level: 'warn', requestId: 'mine', message }]);
    });

    it('is an end that cannot be stored', async () => {
      const job = await runningJob({}, { requestId: 'mine' });
      store.before = () => Promise.reject(new Error('ENOSPC'));
      job.moveTo('completed');
      await withContext({ requestId: 'of another' }, () => runner.settle(job, jobResult()));
      expect(await logged()).toMatchObject([
        { level: 'info', message: 'job completed', requestId: 'mine', jobId: job.id, prompt: '[hidden]' },
        { level: 'error', requestId: 'mine', jobId: job.id },
      ]);
    });

    it('is nothing of what a client is told, or has asked for', async () => {
      engine.answer = () => Promise.reject(new EngineError('OUT_OF_MEMORY', 'too large just now'));
      await runner.run(await runningJob(), never).catch(() => {});
      const stop = new AbortController();
      engine.answer = () => {
        stop.abort();
        return Promise.reject(new Error('stopped'));
      };
      await runner.run(await runningJob(), stop.signal).catch(() => {});
      expect(await logged()).toEqual([]);
    });
  });
});
