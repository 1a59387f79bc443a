import type { EndState, Job, JobResult } from './job.js';

/** Injection token of the JobQueue that the configuration chose. */
export const JOB_QUEUE = Symbol('JobQueue');

export interface QueueDepth {
  /** Waiting jobs; the running one is not among them. */
  pending: number;
  running: number;
  /** How many may wait. */
  max: number;
}

/** Jobs since the start. At any moment: accepted = ended + pending + running. */
export interface JobTally {
  accepted: number;
  ended: Readonly<Record<EndState, number>>;
}

/** Takes jobs one by one to a runner; once more, and before all others, the one whose engine was lost under it. */
export interface JobQueue {
  /**
   * Accepts the job; the promise settles when it has ended. It rejects with a ServiceError CANCELLED, INTERRUPTED or
   * ENGINE_CRASHED, or with what the runner threw.
   * @throws ServiceError QUEUE_FULL or INTERRUPTED at once: the job is not accepted
   */
  add(job: Job): Promise<JobResult>;
  /** Ends one job, waiting or running. False: not here (never came, or ended). */
  cancel(jobId: string): boolean;
  depth(): QueueDepth;
  tally(): JobTally;
  /** Interrupts what waits; settles when the running job has ended, which is interrupted too after `graceMs`. */
  drain(graceMs: number): Promise<void>;
}

/** What a queue takes its jobs to. */
export interface Runner {
  /** Resolves when a job can be run; rejects with why none ever will be. */
  whenReady(): Promise<void>;
  /**
   * Stops soon after `signal` aborts, with any error.
   * @throws HostLostError when the engine's host ended under the job
   */
  run(job: Job, signal: AbortSignal): Promise<JobResult>;
}
