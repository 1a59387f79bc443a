import { HostLostError } from '@app/engine';
import { newJob } from '../../../../test/fixtures/job-request.js';
import { durable, of, QueueBench } from '../../../../test/fixtures/queue-bench.js';
import { settled } from '../../../../test/fixtures/scripted-runner.js';
import type { JobOrder } from '../job.types.js';
import { MemoryJobQueue } from './memory.job-queue.js';

describe(`${MemoryJobQueue.name} holds a job to its time`, () => {
  let bench: QueueBench;

  beforeEach(() => void (bench = new QueueBench()));
  afterEach(() => jest.useRealTimers());

  const soon: Partial<JobOrder> = { timeoutMs: 1000 };

  it('refuses it when it is likely to take longer', async () => {
    bench.learn(1500);
    expect(bench.refusalOf(newJob({}, soon))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'it is likely to take 1500 ms, timeout_ms is 1000',
    });
    bench.learn(300);
    // 300 for itself; 900 with the two before it, of which one has just begun.
    expect(bench.refusalOf(newJob({}, { timeoutMs: 299 }))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await bench.addRunning();
    bench.addWaiting();
    expect(bench.refusalOf(newJob({}, { timeoutMs: 599 }))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    bench.queue.reserve(newJob({}, { timeoutMs: 900 }));
  });

  it('refuses none for a guess from other sizes, nor for those before it', async () => {
    bench.renew(10);
    bench.learn(50);
    const large = { generate: { ...newJob().request.generate, width: 2048, height: 2048 } };
    await bench.addRunning();
    for (let i = 0; i < 5; i++) void bench.enter(newJob(large, durable));
    const next = newJob(large, soon);
    expect(bench.queue.placeOf(bench.addWaiting().job).etaMs).toBeGreaterThan(10_000);
    bench.queue.reserve(next);
  });

  it('reckons with those before it alone, of which most of a busy client are none', async () => {
    bench.renew(10);
    bench.learn(1000);
    await bench.addRunning(of('many'));
    for (let i = 0; i < 5; i++) bench.addWaiting(of('many'));
    expect(bench.refusalOf(newJob({}, of('many', { timeoutMs: 5999 })))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    bench.queue.reserve(newJob({}, of('one', { timeoutMs: 2000 })));
  });

  it('accepts it while nothing is known yet', () => {
    bench.queue.reserve(newJob({}, { timeoutMs: 1 }));
  });

  it('drops it from the queue', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    const running = await bench.addRunning();
    const { job, ended } = bench.addWaiting(soon);
    jest.advanceTimersByTime(1000);
    await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', message: 'the job had not ended after 1000 ms' });
    expect(job.state).toBe('failed');
    expect(running.run.signal.aborted).toBe(false);
    bench.expectBalance();
  });

  it('stops it when it runs', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    const { run, ended } = await bench.addRunning(soon);
    jest.advanceTimersByTime(1000);
    await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(run.job.state).toBe('failed');
  });

  describe('and when its run does not heed that', () => {
    beforeEach(() => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
      bench.runner.stops = false;
    });

    it('ends it all the same, and the next one waits for the run', async () => {
      const { run, ended } = await bench.addRunning(soon);
      const next = bench.addWaiting();
      jest.advanceTimersByTime(1900);
      expect(run.job.state).toBe('running');
      jest.advanceTimersByTime(100);
      await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(run.job.state).toBe('failed');
      expect(bench.queue.depth()).toMatchObject({ pending: 1, running: 0 });
      bench.expectBalance();
      expect(bench.queue.cancel(run.job.id)).toBe(false);

      const begun = bench.runner.next();
      run.finish();
      expect((await begun).job).toBe(next.job);
      expect(run.job).toMatchObject({ state: 'failed', outcome: null });
      bench.expectBalance();
      expect(bench.queue.cancel(next.job.id)).toBe(true);
    });

    it('does not run it again when the host is lost under it', async () => {
      const { run, ended } = await bench.addRunning(soon);
      jest.advanceTimersByTime(2000);
      await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      run.fail(new HostLostError('gone'));
      await settled();
      expect(bench.runner.runs).toHaveLength(1);
      expect(bench.queue.depth()).toMatchObject({ pending: 0, running: 0 });
    });

    it('gives it its time to end by itself', async () => {
      const { run, ended } = await bench.addRunning(soon);
      jest.advanceTimersByTime(1900);
      run.fail(new Error('stopped at last'));
      await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(jest.getTimerCount()).toBe(0);
      bench.expectBalance();
    });
  });

  it('drops it while it waits to be run again', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    const { run, ended } = await bench.addRunning(soon);
    bench.runner.ready = new Promise(() => {});
    run.fail(new HostLostError('gone'));
    await settled();
    jest.advanceTimersByTime(1000);
    await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('lets go of its clock when the job ends or is left to the next server', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    const running = await bench.addRunning();
    bench.queue.cancel(bench.addWaiting().job.id);
    running.run.finish();
    await running.ended;
    expect(jest.getTimerCount()).toBe(0);
    bench.runner.ready = new Promise(() => {});
    bench.addWaiting(durable);
    bench.addWaiting();
    expect(jest.getTimerCount()).toBe(2);
    await bench.queue.drain(60_000);
    bench.renew();
    bench.restore(durable, 2);
    expect(jest.getTimerCount()).toBe(0);
  });
});
