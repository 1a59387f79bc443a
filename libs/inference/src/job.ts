import type { GenerateRequest, Progress } from '@app/engine';
import type { ImageFile, ImageFormat, OutputFormat } from '@app/image-processing';
import { randomUUID } from 'node:crypto';

export type JobKind = 'text-to-image' | 'image-to-image';

/** What is wanted, with every default resolved. */
export interface JobRequest {
  kind: JobKind;
  /** The engine's part; the start picture is still a file, decoded when the job's turn comes. */
  generate: Omit<GenerateRequest, 'image'>;
  imageFile: ImageFile | null;
  output: OutputFormat & { metadata: boolean };
}

export interface JobImage {
  bytes: Buffer;
  seed: number;
  width: number;
  height: number;
  format: ImageFormat;
}

export interface JobWarning {
  code: string;
  field: string;
  message: string;
}

export interface JobTimings {
  queueMs: number;
  encodeMs: number;
  denoiseMs: number;
  decodeMs: number;
  totalMs: number;
}

export interface JobResult {
  images: readonly JobImage[];
  /** Every field as it was used, by its name in the API. */
  parameters: Readonly<Record<string, unknown>>;
  warnings: readonly JobWarning[];
  timings: JobTimings;
}

export const endStates = ['completed', 'failed', 'cancelled'] as const;
export type EndState = (typeof endStates)[number];
export type JobState = 'queued' | 'running' | EndState;

// From running back to queued: the engine was lost under it.
const transitions: Readonly<Record<JobState, readonly JobState[]>> = {
  queued: ['running', 'failed', 'cancelled'],
  running: ['completed', 'failed', 'cancelled', 'queued'],
  completed: [],
  failed: [],
  cancelled: [],
};

/** A request with a state. Times are milliseconds since the epoch. */
export class Job {
  readonly id = randomUUID();
  readonly createdAt = Date.now();
  /** Runs that were begun. */
  attempt = 0;
  /** Begin of the latest run. */
  startedAt: number | null = null;
  finishedAt: number | null = null;
  progress: Progress | null = null;
  private currentState: JobState = 'queued';

  constructor(readonly request: JobRequest) {}

  get state(): JobState {
    return this.currentState;
  }

  moveTo(state: JobState): void {
    const allowed = transitions[this.currentState];
    if (!allowed.includes(state)) throw new Error(`job ${this.id} cannot go from ${this.currentState} to ${state}`);
    this.currentState = state;
    if (state === 'running') {
      this.attempt += 1;
      this.startedAt = Date.now();
      this.progress = null;
    }
    if (transitions[state].length === 0) this.finishedAt = Date.now();
  }
}
