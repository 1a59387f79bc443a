import type { JobEvent, JobKind, JobRecord, JobResult } from './job.types.js';

/** A job as it stands now. */
export interface JobView {
  record: JobRecord;
  /** 1 = next; null when not queued. */
  position: number | null;
  /** Until it has ended, likely; null when it has, or when nothing is known yet. */
  etaMs: number | null;
  /** Milliseconds since the epoch: the job is forgotten then, unless the wall clock is set meanwhile. Null before its end. */
  expiresAt: number | null;
  /** How long it is still kept, measured. Null before its end. */
  keptMs: number | null;
}

/** A job that has completed, with its pictures. */
export interface Outcome {
  id: string;
  kind: JobKind;
  createdAt: number;
  result: JobResult;
}

/** The events of one job for one reader, who keeps the id of the last one that it has: a slow one holds no memory here. */
export interface JobWatch {
  /** What is newer than event `id`, oldest first; of what was overtaken (an older progress) nothing. */
  since(id: number): Promise<readonly JobEvent[]>;
  /** Calls `listener` whenever there may be something newer, and once when the server stops; until the function is called that it gives back. */
  onChange(listener: () => void): () => void;
  /** The last event is among those of the next `since`, or the server stops: nothing comes after them. Look before you ask `since`. */
  readonly isOver: boolean;
}

/** What a submitted request became: a new job, or the one that its Idempotency-Key has already. */
export interface SubmittedJob {
  id: string;
  view(): Promise<JobView>;
  /**
   * Waits for the end as the client that asked; `gone` says that it has left: by the job's order that cancels it at once, after
   * `jobs.disconnectGraceMs`, or not at all.
   * @throws ServiceError, EngineError, ImageError: how the job ended
   */
  outcome(gone: AbortSignal): Promise<Outcome>;
}
