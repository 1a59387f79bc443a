import { EngineError } from '@app/engine';
import { ImageDecoder, ImageEncoder } from '@app/image-processing';
import { InferenceBench, isAsync, never } from '../../../test/fixtures/inference-bench.js';
import { jobRequest } from '../../../test/fixtures/job-request.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { TestInference } from '../../../test/fixtures/test-inference.js';
import { InferenceService } from './inference.service.js';
import type { JobView, Outcome } from './job-view.js';
import { ServiceError } from './service.error.js';

describe(InferenceService.name, () => {
  let bench: InferenceBench;

  beforeEach(async () => void (bench = await InferenceBench.open()));
  afterEach(() => jest.useRealTimers());

  describe('accepts', () => {
    it('a job that is stored, and gives it with its result', async () => {
      const job = await bench.submitRunning();
      expect(bench.server.store.recordOf(job.id).state).toBe('queued');
      bench.server.runner.latest.finish(jobResult('mine'));
      const { id, kind, result } = (await bench.answered(job)) as Outcome;
      expect([id, kind, result.images[0]?.bytes.toString()]).toEqual([job.id, 'text-to-image', 'mine']);
      expect(bench.server.service.tally()).toEqual({ accepted: 1, ended: { completed: 1, failed: 0, cancelled: 0 } });
    });

    it('nothing that cannot be stored, and keeps no place for it', async () => {
      bench.server = new TestInference(bench.disk, { maxPending: 0 });
      const full = new ServiceError('STORAGE_FULL', 'no room');
      bench.server.store.before = () => Promise.reject(full);
      for (let i = 0; i < 3; i++) await expect(bench.submit()).rejects.toBe(full);
      expect(bench.server.service.tally().accepted).toBe(0);
      bench.server.store.before = () => {};
      await bench.submit();
    });

    it('no more than may wait, those that are being stored among them', async () => {
      bench.server = new TestInference(bench.disk, { maxPending: 2 });
      bench.server.store.before = () => settled();
      const outcomes = await Promise.allSettled([1, 2, 3, 4, 5].map(() => bench.submit()));
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
      expect((outcomes[4] as PromiseRejectedResult).reason).toMatchObject({ code: 'QUEUE_FULL' });
    });

    it.each(['starting', 'loading', 'restarting', 'failed', 'stopped'] as const)(
      'nothing while the engine is %s',
      async (state) => {
        bench.server.engine.become({ state, retryAfterS: 9 });
        await expect(bench.submit()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', retryAfterS: 9 });
        expect(bench.disk.size).toBe(0);
      },
    );

    it('nothing new while it drains', async () => {
      await bench.server.service.drain(1000);
      expect(bench.server.service.isDraining).toBe(true);
      await expect(bench.submit()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', message: 'the server is stopping' });
      expect(bench.server.service.knowsKey(null, 'a key')).toBe(false);
    });

    it('nothing that is likely to come too late', async () => {
      bench.server.estimate.record(jobRequest(), { denoiseMs: 5000 }, 5000);
      await expect(bench.submit({ timeoutMs: 4999 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(bench.disk.size).toBe(0);
    });
  });

  describe('tells', () => {
    it('where a job stands', async () => {
      const running = await bench.submitRunning();
      const waiting = await bench.submit();
      expect(await running.view()).toMatchObject({
        record: { state: 'running', attempt: 1 },
        position: null,
        expiresAt: null,
        keptMs: null,
      });
      expect(await waiting.view()).toMatchObject({ record: { state: 'queued' }, position: 1, expiresAt: null, keptMs: null });
      bench.server.runner.latest.finish();
      await bench.answered(running);
      const ended = (await bench.server.service.view(running.id))!;
      expect(ended).toMatchObject({ record: { state: 'completed' }, position: null, etaMs: null });
      expect(ended.expiresAt).toBe((ended.record.finishedAt ?? 0) + 3_600_000);
    });

    it('nothing of a job that never was', async () => {
      expect(await bench.server.service.view('nobody')).toBeNull();
      expect(await bench.server.service.cancel('nobody')).toBeNull();
      expect(await bench.imageText('nobody', 0)).toBeNull();
    });

    it('images when the job has completed, and not before', async () => {
      const job = await bench.submitRunning(isAsync);
      await expect(bench.imageText(job.id, 0)).rejects.toMatchObject({ code: 'NOT_READY', retryAfterS: 1 });
      bench.server.runner.latest.finish(jobResult('mine'));
      await settled();
      expect(await bench.imageText(job.id, 0)).toBe('mine');
      expect(await bench.imageText(job.id, 1)).toBeNull();
    });

    it('no image of a job that has failed', async () => {
      const job = await bench.submitRunning(isAsync);
      bench.server.runner.latest.fail(new EngineError('OUT_OF_MEMORY', 'too large'));
      await settled();
      expect(await bench.imageText(job.id, 0)).toBeNull();
    });

    it('an image in another format, as if it had been asked for', async () => {
      const pixels = { width: 4, height: 4, channels: 3 as const, data: new Uint8Array(48).fill(200) };
      const bytes = await new ImageEncoder().encode(
        pixels,
        { format: 'png', quality: 0 },
        { fromImage: false, description: null },
      );
      const parameters = { prompt: 'p', negative_prompt: ' ', seed: 5, output_format: 'png', output_metadata: true };
      const image = { bytes, seed: 5, width: 4, height: 4, format: 'png' as const };
      const result = { ...jobResult(), images: [image], parameters };
      const outcome: Outcome = { id: 'x', kind: 'text-to-image', createdAt: 0, result };
      const anew = await bench.server.service.imageAs(outcome, 0, { format: 'webp', quality: 80 });
      expect(anew).toMatchObject({ seed: 5, width: 4, height: 4, format: 'webp' });
      expect(anew.bytes.includes('"output_quality":80')).toBe(true);
      const { data } = await new ImageDecoder({ maxInputPixels: 100, decodeTimeoutMs: 10_000 }).decode({
        field: 'image',
        bytes: anew.bytes,
      });
      expect(Math.abs((data[0] ?? 0) - 200)).toBeLessThan(8);
      expect(() => bench.server.service.imageAs(outcome, 1, { format: 'webp', quality: 80 })).toThrow('there is no image 1');
    });

    it('how a job ended to whoever asks after its end', async () => {
      const failed = await bench.submitRunning();
      bench.server.runner.latest.fail(new EngineError('NUMERICAL_FAILURE', 'NaN while decoding'));
      await settled();
      expect(bench.server.ledger.liveJob(failed.id)).toBeNull();
      await expect(failed.outcome(never)).rejects.toThrow('NaN while decoding');
      expect(await bench.answered(failed)).toBe('NUMERICAL_FAILURE');
      const completed = await bench.submitRunning();
      bench.server.runner.latest.finish(jobResult('mine'));
      await settled();
      expect(((await bench.answered(completed)) as Outcome).result).toEqual(jobResult('mine'));
    });
  });

  describe('cancels', () => {
    it('a waiting job, and answers when that is stored', async () => {
      await bench.submitRunning();
      const job = await bench.submit(isAsync);
      bench.server.store.before = () => settled();
      expect(await bench.server.service.cancel(job.id)).toMatchObject({ record: { state: 'cancelled' } });
      expect(bench.server.store.recordOf(job.id).state).toBe('cancelled');
    });

    it('a running job, and answers when it has stopped', async () => {
      const job = await bench.submitRunning();
      const outcome = bench.answered(job);
      expect(await bench.server.service.cancel(job.id)).toMatchObject({
        record: { state: 'cancelled', error: { code: 'CANCELLED' } },
      });
      expect(await outcome).toBe('CANCELLED');
    });

    it('with patience for a step', async () => {
      const job = await bench.submitRunning(isAsync);
      bench.server.runner.stops = false;
      let view: JobView | null = null;
      void bench.server.service.cancel(job.id).then((it) => (view = it));
      await settled();
      expect(view).toBeNull();
      bench.server.runner.latest.fail(new Error('stopped at last'));
      await settled();
      expect(view).toMatchObject({ record: { state: 'cancelled' } });
    });

    it('nothing that has ended', async () => {
      const job = await bench.submitRunning();
      bench.server.runner.latest.finish();
      await bench.answered(job);
      expect(await bench.server.service.cancel(job.id)).toMatchObject({ record: { state: 'completed' } });
      expect(await bench.server.service.cancel(job.id)).toMatchObject({ record: { state: 'completed' } });
    });

    it('nothing that ends at the same moment, and loses no result', async () => {
      const job = await bench.submitRunning();
      const outcome = bench.answered(job);
      bench.server.runner.latest.finish(jobResult('mine'));
      const view = bench.server.service.cancel(job.id);
      expect(await view).toMatchObject({ record: { state: 'completed' } });
      expect(((await outcome) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    });

    it('a job that is being stored as ended, no more', async () => {
      const job = await bench.submitRunning(isAsync);
      let write = () => {};
      bench.server.store.before = () => new Promise((resolve) => (write = resolve));
      bench.server.runner.latest.finish();
      await settled();
      const view = bench.server.service.cancel(job.id);
      await settled();
      write();
      expect(await view).toMatchObject({ record: { state: 'completed' } });
    });
  });

  it('tells an end that cannot be stored, and stores it later', async () => {
    const job = await bench.submitRunning();
    bench.server.store.before = () => Promise.reject(new Error('ENOSPC'));
    const outcome = bench.answered(job);
    bench.server.runner.latest.finish(jobResult('mine'));
    expect(((await outcome) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    expect(await bench.stateOf(job.id)).toBe('completed');
    expect(await bench.imageText(job.id, 0)).toBe('mine');
    expect((await bench.server.service.watch(job.id).since(0)).at(-1)?.name).toBe('completed');
    bench.server.store.before = () => {};
    await bench.server.end();
    expect(bench.server.store.recordOf(job.id).state).toBe('completed');
  });

  it('ends a job whose time is over, waiting or running', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    const running = await bench.submitRunning({ timeoutMs: 5000 });
    const waiting = await bench.submit({ ...isAsync, timeoutMs: 1000 });
    const outcome = bench.answered(running);
    await jest.advanceTimersByTimeAsync(1000);
    expect(await waiting.view()).toMatchObject({ record: { state: 'failed', error: { code: 'DEADLINE_EXCEEDED' } } });
    await jest.advanceTimersByTimeAsync(4000);
    expect(await outcome).toBe('DEADLINE_EXCEEDED');
  });
});
