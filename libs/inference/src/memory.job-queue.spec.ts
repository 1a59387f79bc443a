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

describe(MemoryJobQueue.name, () => {
  let runner: ScriptedRunner;
  let queue: MemoryJobQueue;

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
    await expect(queue.add(newJob())).rejects.toMatchObject({ code: 'QUEUE_FULL', retryAfterS: 1 });
  });

  it('counts the jobs that came while nothing ran yet', async () => {
    runner.ready = new Promise(() => {});
    for (let i = 0; i < 3; i++) addWaiting();
    await expect(queue.add(newJob())).rejects.toMatchObject({ code: 'QUEUE_FULL' });
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
    const refusal: unknown = await queue.add(newJob()).catch((error: unknown) => error);
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

  it('drains: interrupts what waits, lets the running job finish, takes nothing new', async () => {
    const running = await addRunning();
    const waiting = addWaiting();
    const drained = queue.drain(60_000);
    await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await expect(queue.add(newJob())).rejects.toMatchObject({ code: 'INTERRUPTED' });
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
