import { EngineClient } from '@app/engine';
import { Inject, Injectable } from '@nestjs/common';
import { engineUnavailable } from './engine-readiness.js';
import { JOB_QUEUE, type JobQueue, type JobTally, type QueueDepth } from './job-queue.js';
import { Job, type JobRequest, type JobResult } from './job.js';
import { ServiceError } from './service.error.js';

export interface Outcome {
  job: Job;
  result: JobResult;
}

// What a client is told while the server goes down; another one may answer by then.
const drainRetryAfterS = 10;

/** Admits requests and sees them through: what controllers call. */
@Injectable()
export class InferenceService {
  private draining = false;

  constructor(
    private readonly engine: EngineClient,
    @Inject(JOB_QUEUE) private readonly queue: JobQueue,
  ) {}

  get isDraining(): boolean {
    return this.draining;
  }

  depth(): QueueDepth {
    return this.queue.depth();
  }

  tally(): JobTally {
    return this.queue.tally();
  }

  /** @throws ServiceError ENGINE_UNAVAILABLE when a request sent now would not be taken */
  assertAvailable(): void {
    if (this.draining) {
      throw new ServiceError('ENGINE_UNAVAILABLE', 'the server is stopping', { retryAfterS: drainRetryAfterS });
    }
    const status = this.engine.status();
    if (status.state !== 'ready') throw engineUnavailable(status);
  }

  /**
   * Runs the request when its turn comes. `signal` gives it up: whoever wanted it is gone. `onAccepted` is called unless the
   * request is refused: from then on its end is that of a job.
   * @throws ServiceError, EngineError, ImageError
   */
  async generate(request: JobRequest, signal: AbortSignal, onAccepted: (job: Job) => void = () => {}): Promise<Outcome> {
    this.assertAvailable();
    const job = new Job(request);
    const cancel = () => this.queue.cancel(job.id);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const ended = this.queue.add(job);
      onAccepted(job);
      if (signal.aborted) cancel();
      return { job, result: await ended };
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Takes nothing new, interrupts what waits, lets the running job finish within `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    await this.queue.drain(graceMs);
  }
}
