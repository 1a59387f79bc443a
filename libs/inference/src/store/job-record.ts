import type { Progress } from '@app/engine';
import type { JobError } from '../job-error.js';
import {
  endStates,
  type EndState,
  type EventsRecord,
  type Idempotency,
  type JobEvent,
  type JobImageInfo,
  type JobOrder,
  type JobOutcome,
  type JobRecord,
  type JobRequest,
  type JobState,
} from '../job.types.js';
import { arrayOf, boolean, nullOr, number, object, oneOf, shape, string, whole, type Check, type Fields } from './json-shape.js';

/** Far above the longest prompts. A file beyond it is none of ours, and is not read. */
export const maxJsonBytes = 16 * 1024 * 1024;

/** What the store adds to a record. */
export interface StoredRecord {
  record: JobRecord;
  /** Kept free for the job's results. */
  reservedBytes: number;
}

const states: readonly JobState[] = ['queued', 'running', ...endStates];

const event = shape({ id: whole, name: string, data: nullOr(object) } satisfies Fields<JobEvent>);

const request = shape({
  kind: string,
  generate: object,
  inputs: arrayOf(string),
  output: object,
} satisfies Fields<JobRequest>);

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
  events: shape({ generation: whole, latest: arrayOf(event) } satisfies Fields<EventsRecord>),
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
  if (hasEnded(record) && record.finishedAt === null) throw new Error(`finishedAt: null, but the state is ${record.state}`);
  if (record.state === 'completed' && !record.outcome) throw new Error('outcome: null, but the state is completed');
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

function check(expected: Check, value: unknown, name = ''): void {
  const fault = expected(value, name);
  if (fault !== null) throw new Error(fault);
}
