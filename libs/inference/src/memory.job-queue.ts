import { Logger } from '@nestjs/common';
import { AsyncResource } from 'node:async_hooks';
import { HostLostError } from '@app/engine';
import type { JobQueue, JobTally, QueueDepth, Runner } from './job-queue.js';
import type { EndState, Job, JobResult } from './job.js';
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
/** A job whose host ends runs once more. Twice is no accident: it would take the next host down too. */
const maxAttempts = 2;

/** First come, first served, one at a time, in this process. */
export class MemoryJobQueue implements JobQueue {
  private readonly logger = new Logger(MemoryJobQueue.name);
  private readonly waiting: Entry[] = [];
  private running: Entry | null = null;
  private working: Promise<void> | null = null;
  private draining = false;
  private accepted = 0;
  private readonly ended: Record<EndState, number> = { completed: 0, failed: 0, cancelled: 0 };
  private readonly estimate = new WorkEstimate();

  constructor(
    private readonly runner: Runner,
    private readonly maxPending: number,
  ) {}

  add(job: Job): Promise<JobResult> {
    if (this.draining) throw interrupted();
    // A job that finds nothing before it does not wait.
    const ahead = this.waiting.length + (this.running ? 1 : 0);
    if (ahead > this.maxPending) throw this.fullError();
    this.accepted += 1;
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
    if (entry) this.end(entry, 'cancelled', cancelled);
    return entry !== undefined;
  }

  depth(): QueueDepth {
    return { pending: this.waiting.length, running: this.running ? 1 : 0, max: this.maxPending };
  }

  tally(): JobTally {
    return { accepted: this.accepted, ended: { ...this.ended } };
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
      this.running = null;
      this.moveToEnd(job, 'completed');
      entry.resolve(result);
    } catch (error) {
      this.running = null;
      // Whatever a stopped runner threw, the reason it was stopped for is the answer.
      if (stop.signal.aborted) this.end(entry, stoppedState(stop.signal.reason), stop.signal.reason);
      else if (error instanceof HostLostError) this.afterHostLoss(entry, error);
      else this.end(entry, 'failed', error);
    }
  }

  private afterHostLoss(entry: Entry, cause: HostLostError): void {
    const { job } = entry;
    if (this.draining) {
      this.end(entry, 'failed', interrupted());
    } else if (job.attempt >= maxAttempts) {
      this.end(
        entry,
        'failed',
        new ServiceError('ENGINE_CRASHED', `the engine ended ${job.attempt} times under this job`, { cause }),
      );
    } else {
      this.logger.warn(`${cause.message} under job ${job.id}, which is run once more`);
      job.moveTo('queued');
      this.waiting.unshift(entry);
    }
  }

  private failWaiting(error: unknown): void {
    for (const entry of this.waiting.splice(0)) this.end(entry, 'failed', error);
  }

  private end(entry: Entry, state: 'failed' | 'cancelled', error: unknown): void {
    this.moveToEnd(entry.job, state);
    entry.reject(error);
  }

  private moveToEnd(job: Job, state: EndState): void {
    job.moveTo(state);
    this.ended[state] += 1;
  }

  private fullError(): ServiceError {
    // A place is free as soon as the running job has ended.
    const ms = this.running ? this.estimate.remainingMs(this.running.job) : 0;
    const message = `${this.waiting.length} requests are waiting already, at most ${this.maxPending} may`;
    return new ServiceError('QUEUE_FULL', message, { retryAfterS: Math.max(1, Math.ceil(ms / 1000)) });
  }
}

function stoppedState(reason: unknown): 'failed' | 'cancelled' {
  return reason instanceof ServiceError && reason.code === 'CANCELLED' ? 'cancelled' : 'failed';
}

function interrupted(): ServiceError {
  return new ServiceError('INTERRUPTED', 'the server is stopping', { retryAfterS: restartRetryAfterS });
}
