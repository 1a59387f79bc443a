import { InferenceBench, isAsync, keyed } from '../../../test/fixtures/inference-bench.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { TestInference } from '../../../test/fixtures/test-inference.js';
import { InferenceService } from './inference.service.js';
import type { Outcome } from './job-view.js';

describe(InferenceService.name, () => {
  let bench: InferenceBench;

  beforeEach(async () => void (bench = await InferenceBench.open()));
  afterEach(() => jest.useRealTimers());

  describe('a client that goes away', () => {
    beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));

    it('cancels its plain job at once', async () => {
      const job = await bench.submitRunning();
      const client = new AbortController();
      const outcome = bench.answered(job, client.signal);
      client.abort();
      expect(await outcome).toBe('CANCELLED');
      expect(bench.server.service.depth()).toMatchObject({ pending: 0, running: 0 });
    });

    it('before its job was accepted has none that runs', async () => {
      await bench.submitRunning();
      const job = await bench.submit();
      expect(await bench.answered(job, AbortSignal.abort())).toBe('CANCELLED');
      expect(bench.server.runner.runs).toHaveLength(1);
    });

    it('cancels no job that nobody waits for', async () => {
      const job = await bench.submitRunning(isAsync);
      const client = new AbortController();
      void bench.answered(job, client.signal);
      client.abort();
      await jest.advanceTimersByTimeAsync(120_000);
      expect(await bench.stateOf(job.id)).toBe('running');
    });

    it('cancels its keyed job when it does not come back in time', async () => {
      const job = await bench.submitRunning(keyed);
      const client = new AbortController();
      const outcome = bench.answered(job, client.signal);
      client.abort();
      await jest.advanceTimersByTimeAsync(59_999);
      expect(await bench.stateOf(job.id)).toBe('running');
      await jest.advanceTimersByTimeAsync(1);
      expect(await outcome).toBe('CANCELLED');
      expect(bench.server.service.knowsKey(null, 'a key')).toBe(false);
    });

    it('finds its keyed job when it comes back', async () => {
      const job = await bench.submitRunning(keyed);
      const client = new AbortController();
      void bench.answered(job, client.signal);
      client.abort();
      await jest.advanceTimersByTimeAsync(59_999);
      const again = await bench.submit(keyed);
      const outcome = bench.answered(again);
      await jest.advanceTimersByTimeAsync(120_000);
      expect([again.id, await bench.stateOf(job.id)]).toEqual([job.id, 'running']);
      bench.server.runner.latest.finish(jobResult('mine'));
      expect(((await outcome) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    });

    it('leaves the job to the others that wait for it', async () => {
      const job = await bench.submitRunning(keyed);
      const clients = [new AbortController(), new AbortController()];
      const outcomes = [bench.answered(job, clients[0]?.signal), bench.answered(await bench.submit(keyed), clients[1]?.signal)];
      clients[0]?.abort();
      await jest.advanceTimersByTimeAsync(120_000);
      expect(await bench.stateOf(job.id)).toBe('running');
      clients[1]?.abort();
      await jest.advanceTimersByTimeAsync(60_000);
      expect(await Promise.all(outcomes)).toEqual(['CANCELLED', 'CANCELLED']);
    });

    it('leaves the job that somebody wants without waiting for it', async () => {
      const job = await bench.submitRunning(keyed);
      const client = new AbortController();
      void bench.answered(job, client.signal);
      client.abort();
      expect((await bench.submit({ ...keyed, ...isAsync })).id).toBe(job.id);
      await jest.advanceTimersByTimeAsync(120_000);
      expect(await bench.stateOf(job.id)).toBe('running');
      expect(bench.server.store.recordOf(job.id).order.async).toBe(true);
    });
  });

  describe('joins the same request', () => {
    it('while its job waits, runs, and when it has completed', async () => {
      await bench.submitRunning();
      const job = await bench.submit(keyed);
      expect((await bench.submit(keyed)).id).toBe(job.id);
      const begun = bench.server.runner.next();
      bench.server.runner.latest.finish();
      await begun;
      const outcomes = [bench.answered(job), bench.answered(await bench.submit(keyed))];
      bench.server.runner.latest.finish(jobResult('mine'));
      await settled();
      outcomes.push(bench.answered(await bench.submit(keyed)));
      for (const outcome of await Promise.all(outcomes)) {
        expect((outcome as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
      }
      expect(bench.server.service.tally().accepted).toBe(2);
    });

    it('also while the engine is away or the queue is full', async () => {
      bench.server = new TestInference(bench.disk, { maxPending: 0 });
      const job = await bench.submit(keyed);
      await expect(bench.submit()).rejects.toMatchObject({ code: 'QUEUE_FULL' });
      bench.server.engine.become({ state: 'restarting' });
      expect(bench.server.service.knowsKey(null, 'a key')).toBe(true);
      expect((await bench.submit(keyed)).id).toBe(job.id);
    });

    it('that comes while the first is being stored', async () => {
      bench.server.store.before = () => settled();
      const [first, second] = await Promise.all([bench.submit(keyed), bench.submit(keyed)]);
      expect(second.id).toBe(first.id);
      expect(bench.disk.size).toBe(1);
    });

    it('not another with the same key, nor that of another owner', async () => {
      const job = await bench.submit(keyed);
      const other = { idempotency: { key: 'a key', fingerprint: 'of another' } };
      await expect(bench.submit(other)).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
      expect((await bench.submit({ ...other, owner: 'somebody else' })).id).not.toBe(job.id);
    });

    it.each(['failed', 'cancelled'])('not when its job has %s', async (state) => {
      const job = await bench.submitRunning(keyed);
      if (state === 'failed') bench.server.runner.latest.fail(new Error('no such luck'));
      else void bench.server.service.cancel(job.id);
      await bench.answered(job);
      const next = await bench.submit({ idempotency: { key: 'a key', fingerprint: 'of another' } });
      expect(next.id).not.toBe(job.id);
      expect(await bench.stateOf(next.id)).toMatch(/queued|running/);
    });

    it('not when its job is forgotten, swept away or not yet', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
      bench.server = new TestInference(bench.disk, { ttlMs: 40_000 });
      await jest.advanceTimersByTimeAsync(1);
      const job = await bench.submitRunning(keyed);
      bench.server.runner.latest.finish();
      await bench.answered(job);
      await jest.advanceTimersByTimeAsync(39_998);
      const joined = await bench.submit(keyed);
      expect(joined.id).toBe(job.id);
      await jest.advanceTimersByTimeAsync(2);
      expect(await bench.answered(joined)).toBe('INTERRUPTED');
      expect(bench.disk.has(job.id)).toBe(true);
      const next = await bench.submit(keyed);
      expect(next.id).not.toBe(job.id);
      expect(await bench.stateOf(next.id)).toMatch(/queued|running/);
    });

    it('and does not write over its end', async () => {
      const job = await bench.submitRunning(keyed);
      let write = () => {};
      bench.server.store.before = (call) => (call === 'finish' ? new Promise((resolve) => (write = resolve)) : undefined);
      bench.server.runner.latest.finish();
      await settled();
      const joined = await bench.submit({ ...keyed, ...isAsync });
      expect(joined.id).toBe(job.id);
      write();
      await settled();
      expect(bench.server.store.calls.map(({ call }) => call)).toEqual(['create', 'save', 'finish']);
      expect(bench.server.store.recordOf(job.id).state).toBe('completed');
    });
  });
});
