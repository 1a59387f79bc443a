import { AsyncResource } from 'node:async_hooks';
import type { JobQueue, QueueDepth, Runner } from './job-queue.js';
import type { Job, JobResult } from './job.js';
import { ServiceError } from './service.error.js';
import { WorkEstimate } from './work-estimate.js';

interface Entry {
  job: Job;
  /** Runs the job under the context of the request that brought it, not of the one that woke the queue up. */
  run(signal: AbortSignal): Promise<JobResult>;
  stop: AbortController;
  resolve(result: JobResult): void;
  reject(error: unknown): void;
}

// Long enough for a rolling update or a supervisor to bring up the next server.
const restartRetryAfterS = 10;

/** First come, first served, one at a time, in this process. */
export class MemoryJobQueue implements JobQueue {
  private readonly waiting: Entry[] = [];
  private running: Entry | null = null;
  private working: Promise<void> | null = null;
  private draining = false;
  private readonly estimate = new WorkEstimate();

  constructor(
    private readonly runner: Runner,
    private readonly maxPending: number,
  ) {}

  async add(job: Job): Promise<JobResult> {
    if (this.draining) throw interrupted();
    // A job that finds nothing before it does not wait.
    const ahead = this.waiting.length + (this.running ? 1 : 0);
    if (ahead > this.maxPending) throw this.fullError();
    return new Promise<JobResult>((resolve, reject) => {
      const run = AsyncResource.bind((signal: AbortSignal) => this.runner.run(job, signal));
      this.waiting.push({ job, run, stop: new AbortController(), resolve, reject });
      this.working ??= this.work();
    });
  }

  cancel(jobId: string): boolean {
    const cancelled = new ServiceError('CANCELLED', 'the job was cancelled');
    if (this.running?.job.id === jobId) {
      this.running.stop.abort(cancelled);
      return true;
    }
    const place = this.waiting.findIndex(({ job }) => job.id === jobId);
    const [entry] = place < 0 ? [] : this.waiting.splice(place, 1);
    if (entry) end(entry, 'cancelled', cancelled);
    return entry !== undefined;
  }

  depth(): QueueDepth {
    return { pending: this.waiting.length, running: this.running ? 1 : 0, max: this.maxPending };
  }

  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    this.failWaiting(interrupted());
    if (!this.running) return;
    const { stop } = this.running;
    const timer = setTimeout(() => stop.abort(interrupted()), graceMs);
    await this.working;
    clearTimeout(timer);
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0) {
      try {
        await this.runner.whenReady();
      } catch (error) {
        this.failWaiting(error);
      }
      const next = this.waiting.shift();
      if (next) await this.runOne(next);
    }
    // At once with the last look at the line: a job that comes now must start the work again.
    this.working = null;
  }

  private async runOne(entry: Entry): Promise<void> {
    const { job, stop } = entry;
    this.running = entry;
    job.moveTo('running');
    const started = performance.now();
    try {
      const result = await entry.run(stop.signal);
      this.estimate.record(job.request, performance.now() - started);
      job.moveTo('completed');
      entry.resolve(result);
    } catch (error) {
      // Whatever a stopped runner threw, the reason it was stopped for is the answer.
      if (stop.signal.aborted) end(entry, stoppedState(stop.signal.reason), stop.signal.reason);
      else end(entry, 'failed', error);
    } finally {
      this.running = null;
    }
  }

  private failWaiting(error: unknown): void {
    for (const entry of this.waiting.splice(0)) end(entry, 'failed', error);
  }

  private fullError(): ServiceError {
    // A place is free as soon as the running job has ended.
    const ms = this.running ? this.estimate.remainingMs(this.running.job) : 0;
    const message = `${this.waiting.length} requests are waiting already, at most ${this.maxPending} may`;
    return new ServiceError('QUEUE_FULL', message, { retryAfterS: Math.max(1, Math.ceil(ms / 1000)) });
  }
}

function end(entry: Entry, state: 'failed' | 'cancelled', error: unknown): void {
  entry.job.moveTo(state);
  entry.reject(error);
}

function stoppedState(reason: unknown): 'failed' | 'cancelled' {
  return reason instanceof ServiceError && reason.code === 'CANCELLED' ? 'cancelled' : 'failed';
}

function interrupted(): ServiceError {
  return new ServiceError('INTERRUPTED', 'the server is stopping', { retryAfterS: restartRetryAfterS });
}
