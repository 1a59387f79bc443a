import { HostLostError } from '@app/engine';
import { Logger } from '@nestjs/common';
import { newJob } from '../../../../test/fixtures/job-request.js';
import { ScriptedEngine } from '../../../../test/fixtures/scripted-engine.js';
import { jobResult, ScriptedRunner, settled, type Run } from '../../../../test/fixtures/scripted-runner.js';
import { Job } from '../job.js';
import { JobEvents } from '../job-events.js';
import type { JobOrder, JobResult } from '../job.types.js';
import { ServiceError } from '../service.error.js';
import { DurationEstimate } from './duration-estimate.js';
import { MemoryJobQueue } from './memory.job-queue.js';

const durable: Partial<JobOrder> = { async: true };
const result = jobResult();

function of(client: string, more: Partial<JobOrder> = {}): Partial<JobOrder> {
  return { client, ...more };
}

describe(MemoryJobQueue.name, () => {
  let runner: ScriptedRunner;
  let estimate: DurationEstimate;
  let queue: MemoryJobQueue;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(() => {
    runner = new ScriptedRunner();
    estimate = new DurationEstimate(new ScriptedEngine());
    queue = newQueue();
  });
  afterEach(() => jest.useRealTimers());

  function newQueue(maxPending = 2, maxPendingPerClient = maxPending): MemoryJobQueue {
    return new MemoryJobQueue(runner, { maxPending, maxPendingPerClient }, estimate);
  }

  function enter(job: Job): Promise<JobResult> {
    const ended = queue.reserve(job).enter();
    ended.catch(() => {});
    return ended;
  }

  /** Adds a job and waits until it runs. */
  async function addRunning(order?: Partial<JobOrder>): Promise<{ run: Run; ended: Promise<JobResult> }> {
    const next = runner.next();
    const ended = enter(newJob({}, order));
    return { run: await next, ended };
  }

  function addWaiting(order?: Partial<JobOrder>): { job: Job; ended: Promise<JobResult> } {
    const job = newJob({}, order);
    return { job, ended: enter(job) };
  }

  /** A job of an earlier server. */
  function restore(order: Partial<JobOrder>, attempt: number): { job: Job; ended: Promise<JobResult> } {
    const before = newJob({}, order);
    before.attempt = attempt;
    const job = Job.restored(before.toRecord(), []);
    const ended = queue.restore(job);
    ended.catch(() => {});
    return { job, ended };
  }

  function refusalOf(job: Job): unknown {
    try {
      queue.reserve(job);
    } catch (error) {
      return error;
    }
    throw new Error('it was accepted');
  }

  function expectBalance(): void {
    const { accepted, ended } = queue.tally();
    const { pending, running } = queue.depth();
    expect(accepted).toBe(ended.completed + ended.failed + ended.cancelled + pending + running);
  }

  /** What a run of this length teaches. */
  function learn(runMs: number): void {
    estimate.record(newJob().request, { denoiseMs: runMs }, runMs);
  }

  it('runs jobs one at a time, in the order they came', async () => {
    const first = await addRunning();
    const second = addWaiting();
    const third = addWaiting();
    expect(queue.depth()).toEqual({ pending: 2, running: 1, max: 2 });

    let next = runner.next();
    first.run.finish(result);
    await expect(first.ended).resolves.toBe(result);
    expect((await next).job).toBe(second.job);
    next = runner.next();
    runner.latest.finish();
    expect((await next).job).toBe(third.job);
    runner.latest.finish();
    await third.ended;
    expect([first.run.job.state, second.job.state, third.job.state]).toEqual(['completed', 'completed', 'completed']);
  });

  it('keeps what a completed job has to tell, without its files', async () => {
    const { run, ended } = await addRunning();
    run.finish(result);
    await ended;
    expect(run.job.outcome).toEqual({ ...result, images: [{ seed: 1, width: 16, height: 16, format: 'png', bytes: 9 }] });
  });

  it('runs the one request of a client before most of the many that another sent before', async () => {
    queue = newQueue(10);
    const { run } = await addRunning(of('many'));
    for (let i = 0; i < 5; i++) addWaiting(of('many'));
    const one = addWaiting(of('one'));
    expect(queue.placeOf(one.job).position).toBe(1);
    const next = runner.next();
    run.finish();
    expect((await next).job).toBe(one.job);
  });

  describe('has room', () => {
    it('for so many jobs, and says when to come again', async () => {
      await addRunning();
      addWaiting();
      addWaiting();
      expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL', retryAfterS: 1 });
    });

    it('for one more while nothing runs yet', () => {
      runner.ready = new Promise(() => {});
      for (let i = 0; i < 3; i++) addWaiting();
      expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
    });

    it('for none but the one that runs when nothing may wait', async () => {
      queue = newQueue(0);
      const { run, ended } = await addRunning();
      expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
      run.finish();
      await ended;
      await addRunning();
    });

    it('counting jobs that are still being stored', async () => {
      const place = queue.reserve(newJob());
      queue.reserve(newJob());
      queue.reserve(newJob());
      expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
      place.leave();
      await addRunning();
      expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
      expect(queue.tally().accepted).toBe(1);
    });

    it('for so many jobs of one client, while others still come in', async () => {
      queue = newQueue(10, 2);
      await addRunning(of('other'));
      addWaiting(of('many'));
      queue.reserve(newJob({}, of('many')));
      expect(refusalOf(newJob({}, of('many')))).toMatchObject({ code: 'QUEUE_FULL' });
      addWaiting(of('one'));
    });

    it('for no more of a client whose job is to be run again', async () => {
      queue = newQueue(10, 1);
      const { run } = await addRunning(of('many'));
      runner.ready = new Promise(() => {});
      run.fail(new HostLostError('gone'));
      await settled();
      addWaiting(of('many'));
      expect(refusalOf(newJob({}, of('many')))).toMatchObject({ code: 'QUEUE_FULL' });
    });

    it('as soon as a running job has ended, by the times that were measured', async () => {
      learn(30_000);
      await addRunning();
      addWaiting();
      addWaiting();
      const refusal = refusalOf(newJob());
      expect(refusal).toBeInstanceOf(ServiceError);
      expect((refusal as ServiceError).retryAfterS).toBeGreaterThanOrEqual(29);
      expect((refusal as ServiceError).retryAfterS).toBeLessThanOrEqual(30);
    });

    it('for all that an earlier server had accepted', () => {
      runner.ready = new Promise(() => {});
      for (let i = 0; i < 5; i++) restore(durable, 0);
      expect(queue.depth().pending).toBe(5);
      expectBalance();
    });
  });

  it('cancels a waiting job and leaves the others alone', async () => {
    const running = await addRunning();
    const doomed = addWaiting();
    const next = addWaiting();
    expect(queue.cancel(doomed.job.id)).toBe(true);
    await expect(doomed.ended).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(doomed.job).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } });
    expect(running.run.signal.aborted).toBe(false);

    const begun = runner.next();
    running.run.finish();
    expect((await begun).job).toBe(next.job);
  });

  it('stops the running job through its signal and goes on', async () => {
    const running = await addRunning();
    const next = addWaiting();
    const begun = runner.next();
    expect(queue.cancel(running.run.job.id)).toBe(true);
    await expect(running.ended).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(running.run.job.state).toBe('cancelled');
    expect((await begun).job).toBe(next.job);
    expect((await begun).signal.aborted).toBe(false);
  });

  it('loses nothing when a job is cancelled just as it ends', async () => {
    const { run, ended } = await addRunning();
    run.finish(result);
    expect(queue.cancel(run.job.id)).toBe(true);
    await expect(ended).resolves.toBe(result);
    expect(run.job.state).toBe('completed');
    expectBalance();
  });

  it('knows nothing of a job that has ended', async () => {
    const { run, ended } = await addRunning();
    run.finish();
    await ended;
    expect(queue.cancel(run.job.id)).toBe(false);
    expect(queue.cancel('never came')).toBe(false);
  });

  it('hands on what the runner threw and goes on with the next', async () => {
    const first = await addRunning();
    addWaiting();
    const begun = runner.next();
    const error = new Error('no such luck');
    first.run.fail(error);
    await expect(first.ended).rejects.toBe(error);
    expect(first.run.job).toMatchObject({ state: 'failed', error: { code: 'INTERNAL' } });
    expect((await begun).job.state).toBe('running');
  });

  describe('an end', () => {
    it('is told when it is stored, and the next job does not wait for that', async () => {
      const first = await addRunning();
      const second = addWaiting();
      let store = () => {};
      runner.settle = () => new Promise((resolve) => (store = resolve));
      let isTold = false;
      void first.ended.then(() => (isTold = true));
      const begun = runner.next();
      first.run.finish();
      expect((await begun).job).toBe(second.job);
      await settled();
      expect([first.run.job.state, isTold]).toEqual(['completed', false]);
      store();
      await first.ended;
    });

    it('wakes readers once it is stored', async () => {
      const { run, ended } = await addRunning();
      let store = () => {};
      runner.settle = () => new Promise((resolve) => (store = resolve));
      const change = jest.fn();
      run.job.events.onChange(change);
      run.finish();
      await settled();
      expect(change).not.toHaveBeenCalled();
      store();
      await ended;
      await settled();
      expect(change).toHaveBeenCalledTimes(1);
    });
  });

  describe('while the engine is away', () => {
    const gone = new ServiceError('ENGINE_UNAVAILABLE', 'gone for good');

    it('keeps jobs waiting', async () => {
      let comeBack = () => {};
      const first = await addRunning();
      const second = addWaiting();
      runner.ready = new Promise((resolve) => (comeBack = resolve));
      first.run.fail(new Error('the host died'));
      await expect(first.ended).rejects.toThrow('the host died');
      expect(queue.depth()).toMatchObject({ pending: 1, running: 0 });
      expect(second.job.state).toBe('queued');

      const begun = runner.next();
      comeBack();
      expect((await begun).job).toBe(second.job);
    });

    it('fails those that somebody waits for, when it is not to come back soon', async () => {
      runner.ready = Promise.reject(gone);
      const jobs = [addWaiting(), addWaiting()];
      for (const { ended, job } of jobs) {
        await expect(ended).rejects.toBe(gone);
        expect(job.state).toBe('failed');
      }
    });

    it('keeps the others, each in its place, however long it takes', async () => {
      let comeBack = () => {};
      queue = newQueue(10);
      const replayed = await addRunning(of('a', durable));
      runner.ready = Promise.reject(gone);
      runner.readyAtLast = new Promise((resolve) => (comeBack = resolve));
      const plain = addWaiting(of('a'));
      const waiting = [addWaiting(of('a', durable)), addWaiting(of('b', durable)), addWaiting(of('a', durable))];
      replayed.run.fail(new HostLostError('gone'));
      await expect(plain.ended).rejects.toBe(gone);
      await settled();
      const [first, second, third] = waiting.map(({ job }) => job);
      expect(queue.placeOf(replayed.run.job).position).toBe(1);
      expect([first, second, third].map((job) => queue.placeOf(job!).position)).toEqual([3, 2, 4]);
      runner.ready = Promise.resolve();
      comeBack();
      for (const job of [replayed.run.job, second, first, third]) {
        await settled();
        expect(runner.latest.job).toBe(job);
        runner.latest.finish();
      }
    });
  });

  describe('when the host ends under a job', () => {
    const lost = new HostLostError('the engine host ended (signal SIGSEGV)');

    it('runs it once more, before the others, as soon as the engine is back', async () => {
      let comeBack = () => {};
      const first = await addRunning();
      const second = addWaiting();
      runner.ready = new Promise((resolve) => (comeBack = resolve));
      first.run.fail(lost);
      await settled();
      expect(first.run.job).toMatchObject({ state: 'queued', attempt: 1 });
      expect(queue.depth()).toMatchObject({ pending: 2, running: 0 });
      expect([first.run.job, second.job].map((job) => queue.placeOf(job).position)).toEqual([1, 2]);

      const again = runner.next();
      comeBack();
      expect((await again).job).toBe(first.run.job);
      expect(first.run.job).toMatchObject({ state: 'running', attempt: 2 });
      const begun = runner.next();
      runner.latest.finish(result);
      await expect(first.ended).resolves.toBe(result);
      expect((await begun).job).toBe(second.job);
      expect(second.job.attempt).toBe(1);
    });

    it('fails it when that happens again, and goes on with the others', async () => {
      const first = await addRunning();
      const second = addWaiting();
      const again = runner.next();
      first.run.fail(lost);
      const begun = runner.next();
      (await again).fail(lost);
      await expect(first.ended).rejects.toMatchObject({ name: 'ServiceError', code: 'ENGINE_CRASHED', cause: lost });
      expect(first.run.job.state).toBe('failed');
      expect((await begun).job).toBe(second.job);
      expect(runner.runs.filter(({ job }) => job === first.run.job)).toHaveLength(2);
    });

    it('does not run a cancelled job again', async () => {
      const first = await addRunning();
      const second = addWaiting();
      const begun = runner.next();
      queue.cancel(first.run.job.id);
      first.run.fail(lost);
      await expect(first.ended).rejects.toMatchObject({ code: 'CANCELLED' });
      expect((await begun).job).toBe(second.job);
    });

    it('cancels it while it waits for the next host', async () => {
      const first = await addRunning();
      runner.ready = new Promise(() => {});
      first.run.fail(lost);
      await settled();
      expect(queue.cancel(first.run.job.id)).toBe(true);
      await expect(first.ended).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(queue.depth()).toMatchObject({ pending: 0, running: 0 });
    });

    it('fails it when there is no next host', async () => {
      const first = await addRunning();
      runner.ready = Promise.reject(new ServiceError('ENGINE_UNAVAILABLE', 'gone for good'));
      first.run.fail(lost);
      await expect(first.ended).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
      expect(first.run.job.state).toBe('failed');
    });

    it('interrupts it when the server stops, whichever came first', async () => {
      const first = await addRunning();
      const drained = queue.drain(60_000);
      first.run.fail(lost);
      await expect(first.ended).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
      await drained;

      queue = newQueue();
      const second = await addRunning();
      runner.ready = new Promise(() => {});
      second.run.fail(lost);
      await settled();
      await queue.drain(60_000);
      await expect(second.ended).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
    });

    it('leaves a durable one to the next server, and that run counts', async () => {
      const { run, ended } = await addRunning(durable);
      const drained = queue.drain(60_000);
      run.fail(lost);
      await expect(ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      await drained;
      expect(run.job).toMatchObject({ state: 'queued', attempt: 1 });
      expectBalance();
    });
  });

  describe('of an earlier server', () => {
    it('runs what is durable, in the order in which it is given', async () => {
      const next = runner.next();
      const first = restore(durable, 0);
      const second = restore(durable, 1);
      expect((await next).job).toBe(first.job);
      const then = runner.next();
      runner.latest.finish();
      expect((await then).job).toBe(second.job);
      expect(second.job.attempt).toBe(2);
    });

    it('fails a job under which two servers or hosts have ended', async () => {
      const { job, ended } = restore(durable, 2);
      await expect(ended).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
      expect(job.state).toBe('failed');
      expect(queue.tally()).toMatchObject({ accepted: 1, ended: { failed: 1 } });
    });

    it('fails what nobody can come back for', async () => {
      const { ended } = restore({}, 0);
      await expect(ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      expect(runner.runs).toHaveLength(0);
    });

    it('fails a durable job with a second host that ends under it', async () => {
      const next = runner.next();
      const { ended } = restore(durable, 1);
      (await next).fail(new HostLostError('gone'));
      await expect(ended).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
    });
  });

  it('counts every job once, at any moment', async () => {
    const adds = () => {
      expectBalance();
      const { accepted, ended } = queue.tally();
      return { accepted, ...ended };
    };
    const first = await addRunning();
    const second = addWaiting();
    const third = addWaiting();
    refusalOf(newJob());
    expect(adds()).toEqual({ accepted: 3, completed: 0, failed: 0, cancelled: 0 });

    queue.cancel(second.job.id);
    expect(adds()).toMatchObject({ cancelled: 1 });
    const again = runner.next();
    first.run.fail(new HostLostError('gone'));
    await settled();
    adds();
    await again;
    const begun = runner.next();
    runner.latest.finish();
    await first.ended;
    expect(adds()).toMatchObject({ completed: 1 });
    await begun;
    runner.latest.fail(new Error('no such luck'));
    await expect(third.ended).rejects.toThrow();
    expect(adds()).toEqual({ accepted: 3, completed: 1, failed: 1, cancelled: 1 });
  });

  describe('drains', () => {
    it('interrupts what waits, lets the running job finish, takes nothing new', async () => {
      const running = await addRunning();
      const waiting = addWaiting();
      const drained = queue.drain(60_000);
      await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      expect(refusalOf(newJob())).toMatchObject({ code: 'INTERRUPTED' });
      running.run.finish(result);
      await expect(running.ended).resolves.toBe(result);
      await drained;
    });

    it('interrupts the running job when the grace is over', async () => {
      const running = await addRunning();
      await queue.drain(1);
      await expect(running.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      expect(running.run.job.state).toBe('failed');
    });

    it('leaves durable jobs queued, and takes back the run that it stopped', async () => {
      const running = await addRunning(durable);
      const waiting = addWaiting(durable);
      const kept: unknown[] = [];
      runner.settle = (job) => {
        kept.push([job.id, job.state, job.attempt]);
        return Promise.resolve();
      };
      await queue.drain(1);
      await expect(running.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      expect(kept).toEqual([
        [waiting.job.id, 'queued', 0],
        [running.run.job.id, 'queued', 0],
      ]);
      expect([running.run.job, waiting.job].map((job) => queue.placeOf(job))).toEqual([
        { position: 1, etaMs: null },
        { position: 2, etaMs: null },
      ]);
      expect(queue.depth()).toMatchObject({ pending: 2, running: 0 });
      expectBalance();
    });

    it('waits until every end is stored, also of jobs that come in meanwhile', async () => {
      const late = newJob();
      const place = queue.reserve(late);
      const stores: (() => void)[] = [];
      runner.settle = () => new Promise((resolve) => stores.push(resolve));
      const waiting = addWaiting();
      let isDrained = false;
      const drained = queue.drain(60_000).then(() => (isDrained = true));
      place.enter().catch(() => {});
      await settled();
      expect(late).toMatchObject({ state: 'failed', error: { code: 'INTERRUPTED' } });
      stores[0]?.();
      await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      await settled();
      expect(isDrained).toBe(false);
      stores[1]?.();
      await drained;
      expectBalance();
    });

    it('does not wait for an engine that is away', async () => {
      runner.ready = new Promise(() => {});
      addWaiting();
      await queue.drain(60_000);
      expect(queue.depth()).toMatchObject({ pending: 0, running: 0 });
    });
  });

  describe('holds a job to its time', () => {
    const soon: Partial<JobOrder> = { timeoutMs: 1000 };

    it('refuses it when it is likely to take longer', async () => {
      learn(1500);
      expect(refusalOf(newJob({}, soon))).toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        message: 'it is likely to take 1500 ms, timeout_ms is 1000',
      });
      learn(300);
      // 1500 + 0.3 × (300 − 1500) = 1140 for itself; 2280 with the one before it.
      expect(refusalOf(newJob({}, { timeoutMs: 1139 }))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      await addRunning();
      addWaiting();
      expect(refusalOf(newJob({}, { timeoutMs: 2300 }))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      queue.reserve(newJob({}, { timeoutMs: 3430 }));
    });

    it('refuses none for a guess from other sizes, nor for those before it', async () => {
      queue = newQueue(10);
      learn(50);
      const large = { generate: { ...newJob().request.generate, width: 2048, height: 2048 } };
      await addRunning();
      for (let i = 0; i < 5; i++) void enter(newJob(large, durable));
      const next = newJob(large, soon);
      expect(queue.placeOf(addWaiting().job).etaMs).toBeGreaterThan(10_000);
      queue.reserve(next);
    });

    it('reckons with those before it alone, of which most of a busy client are none', async () => {
      queue = newQueue(10);
      learn(1000);
      await addRunning(of('many'));
      for (let i = 0; i < 5; i++) addWaiting(of('many'));
      expect(refusalOf(newJob({}, of('many', { timeoutMs: 6000 })))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      queue.reserve(newJob({}, of('one', { timeoutMs: 2000 })));
    });

    it('accepts it while nothing is known yet', () => {
      queue.reserve(newJob({}, { timeoutMs: 1 }));
    });

    it('drops it from the queue', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
      const running = await addRunning();
      const { job, ended } = addWaiting(soon);
      jest.advanceTimersByTime(1000);
      await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', message: 'the job had not ended after 1000 ms' });
      expect(job.state).toBe('failed');
      expect(running.run.signal.aborted).toBe(false);
      expectBalance();
    });

    it('stops it when it runs', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
      const { run, ended } = await addRunning(soon);
      jest.advanceTimersByTime(1000);
      await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(run.job.state).toBe('failed');
    });

    it('drops it while it waits to be run again', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
      const { run, ended } = await addRunning(soon);
      runner.ready = new Promise(() => {});
      run.fail(new HostLostError('gone'));
      await settled();
      jest.advanceTimersByTime(1000);
      await expect(ended).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    });

    it('lets go of its clock when the job ends or is left to the next server', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
      const running = await addRunning();
      queue.cancel(addWaiting().job.id);
      running.run.finish();
      await running.ended;
      expect(jest.getTimerCount()).toBe(0);
      runner.ready = new Promise(() => {});
      addWaiting(durable);
      addWaiting();
      expect(jest.getTimerCount()).toBe(2);
      await queue.drain(60_000);
      queue = newQueue();
      restore(durable, 2);
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  describe('tells readers of a waiting job', () => {
    function told(job: Job): unknown[] {
      return job.events
        .since(0)
        .filter(({ name }) => name === 'queued')
        .map(({ data }) => data);
    }

    it('where it stands and how long that may take, whenever its place changes', async () => {
      queue = newQueue(10);
      learn(1000);
      const running = await addRunning(of('a'));
      const before = addWaiting(of('a'));
      const { job } = addWaiting(of('a'));
      const seen: unknown[] = [];
      job.events.onChange(() => seen.push(job.events.toldPosition));
      queue.follow(job);
      expect(told(job)).toMatchObject([{ position: 2 }]);
      const other = addWaiting(of('b'));
      expect(seen).toEqual([3]);
      queue.cancel(other.job.id);
      expect(seen).toEqual([3, 2]);
      queue.cancel(before.job.id);
      expect(seen).toEqual([3, 2, 1]);
      const [{ eta_ms }] = told(job) as [{ eta_ms: number }];
      expect(eta_ms).toBeGreaterThan(1000);
      expect(eta_ms).toBeLessThanOrEqual(2000);
      const next = runner.next();
      running.run.finish();
      await next;
      expect(job.events.since(0).at(-1)).toMatchObject({ name: 'started', data: { attempt: 1 } });
      expect(job.events.toldPosition).toBeNull();
    });

    it('that it waits again after its host was lost', async () => {
      const { run } = await addRunning();
      runner.ready = new Promise(() => {});
      run.job.events.onChange(() => {});
      queue.follow(run.job);
      run.fail(new HostLostError('gone'));
      await settled();
      expect(run.job.events.since(0).at(-1)).toMatchObject({ name: 'queued', data: { position: 1 } });
    });

    it('nothing that it has been told', () => {
      runner.ready = new Promise(() => {});
      const { job } = addWaiting();
      queue.follow(job);
      queue.follow(job);
      expect(told(job)).toHaveLength(1);
    });

    it('that has readers, without looking at those that have none', () => {
      queue = newQueue(1000);
      runner.ready = new Promise(() => {});
      const { job } = addWaiting();
      const leave = job.events.onChange(() => {});
      queue.follow(job);
      for (let i = 0; i < 500; i++) addWaiting();
      const looks = jest.spyOn(JobEvents.prototype, 'readers', 'get');
      addWaiting();
      expect(looks).toHaveBeenCalledTimes(1);
      leave();
      addWaiting();
      addWaiting();
      expect(looks).toHaveBeenCalledTimes(2);
      looks.mockRestore();
    });
  });

  describe('says where a job stands', () => {
    it('until its likely end', async () => {
      learn(1000);
      const { run } = await addRunning();
      const { job } = addWaiting();
      const running = queue.placeOf(run.job);
      expect(running.position).toBeNull();
      expect(running.etaMs).toBeLessThanOrEqual(1000);
      const waiting = queue.placeOf(job);
      expect(waiting.position).toBe(1);
      expect(waiting.etaMs).toBeGreaterThanOrEqual(1000);
      expect(waiting.etaMs).toBeLessThanOrEqual(2000);
    });

    it('without a guess, when nothing is known', () => {
      runner.ready = new Promise(() => {});
      expect(queue.placeOf(addWaiting().job)).toEqual({ position: 1, etaMs: null });
    });

    it('nowhere, when it has ended', async () => {
      const { run, ended } = await addRunning();
      run.finish();
      await ended;
      expect(queue.placeOf(run.job)).toEqual({ position: null, etaMs: null });
    });
  });

  it('learns from each job that completes how long such take', async () => {
    const clock = jest.spyOn(performance, 'now').mockReturnValue(0);
    const measured = await addRunning();
    clock.mockReturnValue(30_000);
    measured.run.finish();
    await measured.ended;
    clock.mockRestore();
    expect(estimate.runMs(newJob().request)).toBe(30_000);
  });
});
