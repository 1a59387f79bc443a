import type { Progress } from '@app/engine';
import { randomBytes, randomUUID } from 'node:crypto';
import type { JobError } from './job-error.js';
import { JobEvents } from './job-events.js';
import {
  endStates,
  type EndState,
  type JobEvent,
  type JobOrder,
  type JobOutcome,
  type JobRecord,
  type JobRequest,
  type JobState,
} from './job.types.js';

// From running back to queued: the engine was lost under it, or the server stops and the next one is to run it.
const transitions: Readonly<Record<JobState, readonly JobState[]>> = {
  queued: ['running', 'failed', 'cancelled'],
  running: ['completed', 'failed', 'cancelled', 'queued'],
  completed: [],
  failed: [],
  cancelled: [],
};

/** A job whose run ends with a dead server or host runs once more. Twice is no accident: it would take the next one down too. */
export const maxAttempts = 2;

const tokenBytes = 32;

/** Finer than any time that is told, and kept by a number as large as the epoch's milliseconds. */
const tieMs = 0.001;
let latestCreation = 0;

/** Now; of jobs that are made within one millisecond the later one has the later time: the next server runs them in this order. */
function creationTime(): number {
  const now = Date.now();
  latestCreation = Math.floor(latestCreation) === now ? latestCreation + tieMs : now;
  return latestCreation;
}

/** A request with a state. Times are milliseconds since the epoch; durations are measured apart, by a clock that never jumps. */
export class Job {
  readonly id: string;
  readonly createdAt: number;
  readonly token: string;
  readonly request: JobRequest;
  readonly events: JobEvents;
  /** Runs that were begun and not taken back. */
  attempt: number;
  startedAt: number | null = null;
  finishedAt: number | null = null;
  progress: Progress | null = null;
  outcome: JobOutcome | null = null;
  error: JobError | null = null;
  private currentState: JobState = 'queued';
  private currentOrder: JobOrder;
  private readonly enteredAt = performance.now();
  private waitedMs: number | null = null;

  constructor(request: JobRequest, order: JobOrder, before?: { record: JobRecord; previews: readonly JobEvent[] }) {
    this.request = request;
    this.currentOrder = order;
    this.id = before?.record.id ?? randomUUID();
    this.createdAt = before?.record.createdAt ?? creationTime();
    this.token = before?.record.token ?? randomBytes(tokenBytes).toString('base64url');
    this.attempt = before?.record.attempt ?? 0;
    this.events = new JobEvents(before?.record.events, before?.previews);
  }

  /** A job that a server before this one left unfinished: it waits again. */
  static restored(record: JobRecord, previews: readonly JobEvent[]): Job {
    return new Job(record.request, record.order, { record, previews });
  }

  get state(): JobState {
    return this.currentState;
  }

  get order(): JobOrder {
    return this.currentOrder;
  }

  get hasEnded(): boolean {
    return isEnd(this.currentState);
  }

  /** The next server runs it when this one cannot: somebody has been told of it, or may come again and ask. */
  get isDurable(): boolean {
    return this.order.async || this.order.idempotency !== null;
  }

  /** No run of it may begin any more: each would end a server or a host. */
  get isPoison(): boolean {
    return this.attempt >= maxAttempts;
  }

  /** Somebody who does not wait on a connection wants it too: it is not cancelled when connections go. */
  becomeAsync(): void {
    this.currentOrder = { ...this.order, async: true };
  }

  moveTo(state: JobState): void {
    const allowed = transitions[this.currentState];
    if (!allowed.includes(state)) throw new Error(`job ${this.id} cannot go from ${this.currentState} to ${state}`);
    this.currentState = state;
    if (state === 'running') {
      this.attempt += 1;
      this.startedAt = this.stamp();
      this.waitedMs = this.ageMs;
    }
    this.progress = null;
    if (isEnd(state)) {
      this.finishedAt = this.stamp();
      this.events.end(state);
    }
  }

  /** The run that was stopped was not the job's doing: as if it had not begun. */
  takeBackAttempt(): void {
    this.attempt -= 1;
    this.startedAt = null;
  }

  /** Since this server has it. */
  get ageMs(): number {
    return performance.now() - this.enteredAt;
  }

  /** What it waited before its latest run, in this server. */
  get queueMs(): number {
    return this.waitedMs ?? this.ageMs;
  }

  /** Of the latest run, until now. */
  get runMs(): number {
    return this.ageMs - this.queueMs;
  }

  toRecord(): JobRecord {
    const { id, state, createdAt, startedAt, finishedAt, attempt, request, order, token, progress, outcome, error } = this;
    const events = this.events.toRecord();
    return {
      format: 1,
      ...{ id, state, createdAt, startedAt, finishedAt, attempt, request, order, token, progress, events, outcome, error },
    };
  }

  /** Now. The wall clock may be set back while a job waits or runs; its times never go back all the same: it would end before it began. */
  private stamp(): number {
    return Math.max(this.startedAt ?? this.createdAt, Date.now());
  }
}

export function isEnd(state: JobState): state is EndState {
  return (endStates as readonly JobState[]).includes(state);
}
