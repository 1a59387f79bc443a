import type { GenerateRequest, Progress } from '@app/engine';
import type { ImageFormat, OutputFormat } from '@app/image-processing';
import type { Readable } from 'node:stream';
import type { JobError } from './job-error.js';

export type JobKind = 'text-to-image' | 'image-to-image';

/** What is wanted, with every default resolved. Files come beside it, in the order of `inputs`. */
export interface JobRequest {
  kind: JobKind;
  /** The engine's part; pictures are still files, decoded when the job's turn comes. */
  generate: Omit<GenerateRequest, 'image'>;
  /** Fields of the uploaded files. */
  inputs: readonly string[];
  output: OutputFormat & { metadata: boolean };
}

export interface Idempotency {
  /** As the client sent it. */
  key: string;
  /** Of everything else that the client sent: the same key with another one is a conflict. */
  fingerprint: string;
}

/** Who wants it, and how it is to be served. */
export interface JobOrder {
  /** Name of the API key that the job belongs to; null when the service is open. */
  owner: string | null;
  /** Whose turn it takes in the queue: the API key, else the address. */
  client: string;
  /** True: nobody waits for the answer on the connection that brought it. */
  async: boolean;
  idempotency: Idempotency | null;
  /** From acceptance to the end; it begins anew with the next server (docs/decisions/0005). */
  timeoutMs: number;
  /** Previews of each image. */
  previews: number;
  /** Of the request that brought it. */
  requestId: string;
  /** The span of that request, as W3C Trace Context spells it; null: it belongs to no trace. */
  traceparent: string | null;
}

export interface JobImageInfo {
  seed: number;
  width: number;
  height: number;
  format: ImageFormat;
  /** Size of the file. */
  bytes: number;
}

export interface JobImage extends Omit<JobImageInfo, 'bytes'> {
  bytes: Buffer;
}

/** A picture on its way out, for whoever reads or destroys it. */
export interface OpenImage extends Pick<JobImage, 'format'> {
  /** In bytes. */
  length: number;
  stream: Readable;
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

/** What is told of a result beside its files. */
export interface JobOutcome {
  /** Name of the model that drew it. */
  model: string;
  images: readonly JobImageInfo[];
  /** Every field as it was used, by its name in the API. */
  parameters: Readonly<Record<string, unknown>>;
  warnings: readonly JobWarning[];
  timings: JobTimings;
}

export interface JobResult extends Omit<JobOutcome, 'images'> {
  images: readonly JobImage[];
}

export const endStates = ['completed', 'failed', 'cancelled'] as const;
export type EndState = (typeof endStates)[number];
export type JobState = 'queued' | 'running' | EndState;

export type JobEventName = 'queued' | 'started' | 'progress' | 'preview' | EndState;

/** One thing that happened to a job. Ids rise over attempts and restarts of the server. */
export interface JobEvent {
  id: number;
  name: JobEventName;
  /** As the API tells it; of the last one null: that is the job itself. */
  data: Readonly<Record<string, unknown>> | null;
}

/** What of a job's events outlives the server, beside previews, which are files. */
export interface EventsRecord {
  /** How many servers have had this job: each gives ids of its own range. */
  generation: number;
  /** The newest `queued`, `started` and `progress`, and the last one. */
  latest: readonly JobEvent[];
}

/** A job as it lies on the disk: plain JSON. Times are milliseconds since the epoch. */
export interface JobRecord {
  /** Of this layout. */
  format: 1;
  id: string;
  state: JobState;
  createdAt: number;
  /** Begin of the latest run. */
  startedAt: number | null;
  finishedAt: number | null;
  /** Runs that were begun and not taken back. */
  attempt: number;
  request: JobRequest;
  order: JobOrder;
  /** Lets a browser read this job, and no other, without an API key. */
  token: string;
  progress: Progress | null;
  events: EventsRecord;
  outcome: JobOutcome | null;
  error: JobError | null;
}
