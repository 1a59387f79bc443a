import type { Job } from '../job.js';
import type { EndState, JobResult } from '../job.types.js';

/** Injection token of the JobQueue that the configuration chose. */
export const JOB_QUEUE = Symbol('JobQueue');

export interface QueueDepth {
  /** Waiting jobs; the running one is not among them. */
  pending: number;
  running: number;
  /** How many may wait. */
  max: number;
}

/** Jobs since the start, with those that an earlier server left. At any moment: accepted = ended + pending + running. */
export interface JobTally {
  accepted: number;
  ended: Readonly<Record<EndState, number>>;
}

export interface QueuePlace {
  /** 1 = next; null when it does not wait. */
  position: number | null;
  /** Until its end, likely; null when nothing is known yet. */
  etaMs: number | null;
}

/** A place that is kept for a job while it is being stored: one of the two must be called. */
export interface Reservation {
  /**
   * Accepts the job; the promise settles when it has ended and that is stored. It rejects with a ServiceError CANCELLED,
   * DEADLINE_EXCEEDED, INTERRUPTED or ENGINE_CRASHED, or with what the runner threw. After INTERRUPTED a durable job has not ended:
   * the next server runs it.
   */
  enter(): Promise<JobResult>;
  /** The job was not accepted after all. */
  leave(): void;
}

/** Takes jobs one by one to a runner; once more, and before all others, the one whose engine was lost under it. */
export interface JobQueue {
  /** @throws ServiceError QUEUE_FULL, DEADLINE_EXCEEDED or INTERRUPTED: there is no place for it */
  reserve(job: Job): Reservation;
  /** A job that an earlier server accepted: it is not refused. As `enter` otherwise. */
  restore(job: Job): Promise<JobResult>;
  /** Ends one job, waiting or running. False: not here (never came, or ended). */
  cancel(jobId: string): boolean;
  /** Kept by `drain`: this server does nothing more with it. */
  isLeftToNextServer(jobId: string): boolean;
  placeOf(job: Job): QueuePlace;
  /** Tells the readers of a job where it stands, now and as long as it has some, whenever that is news. */
  follow(job: Job): void;
  depth(): QueueDepth;
  tally(): JobTally;
  /**
   * Interrupts what waits; settles when the running job has ended, which is interrupted too after `graceMs`. Durable jobs stay
   * queued for the next server.
   */
  drain(graceMs: number): Promise<void>;
}

/** What a queue takes its jobs to. */
export interface Runner {
  /** Resolves when a job can be run; rejects with why none is likely to be soon. */
  whenReady(): Promise<void>;
  /** Resolves when a job can be run, however long that takes. */
  whenReadyAtLast(): Promise<void>;
  /**
   * Notes on the disk that a run begins, then runs it. Stops soon after `signal` aborts, with any error.
   * @throws HostLostError when the engine's host ended under the job
   */
  run(job: Job, signal: AbortSignal): Promise<JobResult>;
  /** Stores how things stand with a job that has ended, or is left to the next server. Never rejects. */
  settle(job: Job, result: JobResult | null): Promise<void>;
}
