import type { Job, JobResult } from './job.js';

/** Injection token of the JobQueue that the configuration chose. */
export const JOB_QUEUE = Symbol('JobQueue');

export interface QueueDepth {
  /** Waiting jobs; the running one is not among them. */
  pending: number;
  running: number;
  /** How many may wait. */
  max: number;
}

/** Takes jobs one by one to a runner. */
export interface JobQueue {
  /**
   * Settles when the job has ended.
   * @throws ServiceError QUEUE_FULL, CANCELLED, INTERRUPTED, or what the runner threw
   */
  add(job: Job): Promise<JobResult>;
  /** Ends one job, waiting or running. False: not here (never came, or ended). */
  cancel(jobId: string): boolean;
  depth(): QueueDepth;
  /** Interrupts what waits; settles when the running job has ended, which is interrupted too after `graceMs`. */
  drain(graceMs: number): Promise<void>;
}

/** What a queue takes its jobs to. */
export interface Runner {
  /** Resolves when a job can be run; rejects with why none ever will be. */
  whenReady(): Promise<void>;
  /** Stops soon after `signal` aborts, with any error. */
  run(job: Job, signal: AbortSignal): Promise<JobResult>;
}
