import type { Progress } from '@app/engine';
import type { ImageFormat } from '@app/image-processing';
import type { JobError } from '../job-error.js';
import {
  endStates,
  type EndState,
  type EventsRecord,
  type Idempotency,
  type JobEvent,
  type JobImageInfo,
  type JobKind,
  type JobOrder,
  type JobOutcome,
  type JobRecord,
  type JobRequest,
  type JobState,
} from '../job.types.js';
import {
  arrayOf,
  boolean,
  nullOr,
  number,
  object,
  oneOf,
  shape,
  string,
  upTo,
  whole,
  type Check,
  type Fields,
} from './json-shape.js';

/** Far above the longest prompts. A file beyond it is none of ours, and is not read. */
export const maxJsonBytes = 16 * 1024 * 1024;

/** What the store adds to a record. */
export interface StoredRecord {
  record: JobRecord;
  /** Kept free for the job's results. */
  reservedBytes: number;
}

const states: readonly JobState[] = ['queued', 'running', ...endStates];
/** Far more servers than a job has, and far less than ids of events can count. */
const maxGeneration = 1_000_000;

const event = shape({ id: whole, name: string, data: nullOr(object) } satisfies Fields<JobEvent>);

const request = shape({
  kind: string,
  // What is told of a job whatever it is; the rest is the engine's to check.
  generate: shape({
    prompt: string,
    negativePrompt: string,
    width: whole,
    height: whole,
    numInferenceSteps: whole,
    trueCfgScale: number,
    seed: whole,
    numImages: whole,
    maxSequenceLength: whole,
  }),
  inputs: arrayOf(string),
  output: shape({ format: string, quality: number, metadata: boolean } satisfies Fields<JobRequest['output']>),
} satisfies Fields<JobRequest>);

const kinds: Record<JobKind, true> = { 'text-to-image': true, 'image-to-image': true };
const formats: Record<ImageFormat, true> = { png: true, jpeg: true, webp: true };

/** Of a job that is still to be drawn: what another version of this server may know, and this one cannot do. */
const drawable = shape({
  request: shape({ kind: oneOf(Object.keys(kinds)), output: shape({ format: oneOf(Object.keys(formats)) }) }),
});

const order = shape({
  owner: nullOr(string),
  client: string,
  async: boolean,
  idempotency: nullOr(shape({ key: string, fingerprint: string } satisfies Fields<Idempotency>)),
  timeoutMs: number,
  previews: whole,
  requestId: string,
  traceparent: nullOr(string),
} satisfies Fields<JobOrder>);

const outcome = shape({
  model: string,
  images: arrayOf(
    shape({ seed: whole, width: whole, height: whole, format: string, bytes: whole } satisfies Fields<JobImageInfo>),
  ),
  parameters: object,
  warnings: arrayOf(object),
  timings: object,
} satisfies Fields<JobOutcome>);

const error = shape({
  code: string,
  message: string,
  param: nullOr(string),
  faults: arrayOf(object),
  retryAfterS: nullOr(number),
} satisfies Fields<JobError>);

// What the server relies on when it takes a job over; names that grow with the API (kinds, stages, codes) are any string.
const jobRecord = shape({
  format: oneOf([1]),
  id: string,
  state: oneOf(states),
  createdAt: number,
  startedAt: nullOr(number),
  finishedAt: nullOr(number),
  attempt: whole,
  request,
  order,
  token: string,
  progress: nullOr(shape({ stage: string, image: whole, step: whole, total: whole } satisfies Fields<Progress>)),
  events: shape({ generation: upTo(maxGeneration), latest: arrayOf(event) } satisfies Fields<EventsRecord>),
  outcome: nullOr(outcome),
  error: nullOr(error),
} satisfies Fields<JobRecord>);

export function hasEnded(record: JobRecord): boolean {
  return endStates.includes(record.state as EndState);
}

export function encodeRecord(record: JobRecord, reservedBytes: number): Buffer {
  return encode({ ...record, reservedBytes });
}

/** @throws Error that says what is wrong with it */
export function parseRecord(bytes: Buffer, id: string): StoredRecord {
  const { reservedBytes = 0, ...value } = parseObject(bytes);
  check(jobRecord, value);
  check(whole, reservedBytes, 'reservedBytes');
  const record = value as unknown as JobRecord;
  if (record.id !== id) throw new Error(`id: of another job, ${JSON.stringify(record.id.slice(0, 64))}`);
  if (hasEnded(record)) checkEnd(record);
  else check(drawable, value);
  return { record, reservedBytes: reservedBytes as number };
}

export function encodeEvent(value: JobEvent): Buffer {
  return encode(value);
}

/** @throws Error that says what is wrong with it */
export function parseEvent(bytes: Buffer): JobEvent {
  const value = parseObject(bytes);
  check(event, value);
  return value as unknown as JobEvent;
}

function encode(value: object): Buffer {
  const bytes = Buffer.from(JSON.stringify(value));
  if (bytes.length > maxJsonBytes) throw new Error(`${bytes.length} bytes of JSON, at most ${maxJsonBytes} can be read again`);
  return bytes;
}

function parseObject(bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's own message quotes the text, and that may be a prompt.
    throw new Error(`${bytes.length} bytes that are not JSON`);
  }
  check(object, value, 'the file');
  return value as Record<string, unknown>;
}

function checkEnd({ state, finishedAt, outcome, error }: JobRecord): void {
  const because = `null, but the state is ${state}`;
  if (finishedAt === null) throw new Error(`finishedAt: ${because}`);
  if (state === 'completed' && !outcome) throw new Error(`outcome: ${because}`);
  if (state !== 'completed' && !error) throw new Error(`error: ${because}`);
}

function check(expected: Check, value: unknown, name = ''): void {
  const fault = expected(value, name);
  if (fault !== null) throw new Error(fault);
}
