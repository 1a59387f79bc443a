import { HostLostError } from '@app/engine';
import { Logger } from '@nestjs/common';
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Runner } from './job-queue.js';
import { newJob } from '../../../test/fixtures/job-request.js';
import type { Job, JobResult } from './job.js';
import { MemoryJobQueue } from './memory.job-queue.js';
import { ServiceError } from './service.error.js';

const result: JobResult = {
  images: [],
  parameters: {},
  warnings: [],
  timings: { queueMs: 0, encodeMs: 0, denoiseMs: 0, decodeMs: 0, totalMs: 0 },
};

interface Run {
  job: Job;
  signal: AbortSignal;
  finish(): void;
  fail(error: Error): void;
}

/** A runner whose jobs end when the test says so. */
class ScriptedRunner implements Runner {
  readonly runs: Run[] = [];
  ready: Promise<void> = Promise.resolve();
  private readonly begun: ((run: Run) => void)[] = [];

  whenReady(): Promise<void> {
    return this.ready;
  }

  run(job: Job, signal: AbortSignal): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const run = { job, signal, finish: () => resolve(result), fail: reject };
      signal.addEventListener('abort', () => reject(new Error('stopped by its signal')));
      this.runs.push(run);
      this.begun.shift()?.(run);
    });
  }

  get latest(): Run {
    const run = this.runs.at(-1);
    if (!run) throw new Error('nothing ran yet');
    return run;
  }

  /** The next job that begins to run. */
  next(): Promise<Run> {
    return new Promise((resolve) => this.begun.push(resolve));
  }
}

/** Everything that was to happen at once has happened. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe(MemoryJobQueue.name, () => {
  let runner: ScriptedRunner;
  let queue: MemoryJobQueue;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(() => {
    runner = new ScriptedRunner();
    queue = new MemoryJobQueue(runner, 2);
  });

  /** Adds a job and waits until it runs. */
  async function addRunning(): Promise<{ run: Run; ended: Promise<JobResult> }> {
    const next = runner.next();
    const ended = queue.add(newJob());
    ended.catch(() => {});
    return { run: await next, ended };
  }

  function addWaiting(): { job: Job; ended: Promise<JobResult> } {
    const job = newJob();
    const ended = queue.add(job);
    ended.catch(() => {});
    return { job, ended };
  }

  function refusalOf(job: Job): unknown {
    try {
      void queue.add(job);
    } catch (error) {
      return error;
    }
    throw new Error('it was accepted');
  }

  it('runs jobs one at a time, in the order they came', async () => {
    const first = await addRunning();
    const second = addWaiting();
    const third = addWaiting();
    expect(queue.depth()).toEqual({ pending: 2, running: 1, max: 2 });
    expect(runner.runs).toHaveLength(1);

    let next = runner.next();
    first.run.finish();
    await expect(first.ended).resolves.toBe(result);
    expect((await next).job).toBe(second.job);
    next = runner.next();
    runner.latest.finish();
    expect((await next).job).toBe(third.job);
    runner.latest.finish();
    await third.ended;
    expect([first.run.job.state, second.job.state, third.job.state]).toEqual(['completed', 'completed', 'completed']);
  });

  it('refuses the job that finds the line full, and says when to come again', async () => {
    await addRunning();
    addWaiting();
    addWaiting();
    expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL', retryAfterS: 1 });
  });

  it('counts the jobs that came while nothing ran yet', () => {
    runner.ready = new Promise(() => {});
    for (let i = 0; i < 3; i++) addWaiting();
    expect(refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
  });

  it('tells a full line’s length from the times that were measured', async () => {
    const clock = jest.spyOn(performance, 'now').mockReturnValue(0);
    const measured = await addRunning();
    clock.mockReturnValue(30_000);
    measured.run.finish();
    await measured.ended;
    clock.mockRestore();

    await addRunning();
    addWaiting();
    addWaiting();
    const refusal = refusalOf(newJob());
    expect(refusal).toBeInstanceOf(ServiceError);
    expect((refusal as ServiceError).retryAfterS).toBeGreaterThanOrEqual(29);
    expect((refusal as ServiceError).retryAfterS).toBeLessThanOrEqual(30);
  });

  it('cancels a waiting job and leaves the others alone', async () => {
    const running = await addRunning();
    const doomed = addWaiting();
    const next = addWaiting();
    expect(queue.cancel(doomed.job.id)).toBe(true);
    await expect(doomed.ended).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(doomed.job.state).toBe('cancelled');
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
    expect(first.run.job.state).toBe('failed');
    expect((await begun).job.state).toBe('running');
  });

  it('keeps jobs waiting while the engine is away', async () => {
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

  it('fails all that wait when the engine never comes back', async () => {
    runner.ready = Promise.reject(new ServiceError('ENGINE_UNAVAILABLE', 'gone for good'));
    const jobs = [addWaiting(), addWaiting()];
    for (const { ended, job } of jobs) {
      await expect(ended).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
      expect(job.state).toBe('failed');
    }
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

      const again = runner.next();
      comeBack();
      expect((await again).job).toBe(first.run.job);
      expect(first.run.job).toMatchObject({ state: 'running', attempt: 2 });
      const begun = runner.next();
      runner.latest.finish();
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

      queue = new MemoryJobQueue(runner, 2);
      const second = await addRunning();
      runner.ready = new Promise(() => {});
      second.run.fail(lost);
      await settled();
      await queue.drain(60_000);
      await expect(second.ended).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
    });
  });

  it('counts every job once, at any moment', async () => {
    const adds = () => {
      const { accepted, ended } = queue.tally();
      const { pending, running } = queue.depth();
      expect(accepted).toBe(ended.completed + ended.failed + ended.cancelled + pending + running);
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

  it('drains: interrupts what waits, lets the running job finish, takes nothing new', async () => {
    const running = await addRunning();
    const waiting = addWaiting();
    const drained = queue.drain(60_000);
    await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(refusalOf(newJob())).toMatchObject({ code: 'INTERRUPTED' });
    running.run.finish();
    await expect(running.ended).resolves.toBe(result);
    await drained;
  });

  it('interrupts the running job when the grace is over', async () => {
    const running = await addRunning();
    await queue.drain(1);
    await expect(running.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(running.run.job.state).toBe('failed');
  });

  it('runs each job under the context of its own request', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const run = runner.run.bind(runner);
    runner.run = (job, signal) => {
      seen.push(storage.getStore());
      return run(job, signal);
    };
    const next = runner.next();
    const first = storage.run('first', () => queue.add(newJob()));
    const second = storage.run('second', () => queue.add(newJob()));
    const begun = await next;
    const afterwards = runner.next();
    begun.finish();
    await first;
    (await afterwards).finish();
    await second;
    expect(seen).toEqual(['first', 'second']);
  });
});
