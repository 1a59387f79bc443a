/** What the service can answer instead of a picture, beside the engine's and the image decoder's own codes. */
export type ServiceErrorCode =
  | 'INVALID_ARGUMENT' // fields, or a body that cannot be parsed
  | 'UNSUPPORTED_BY_MODEL'
  | 'UNAUTHENTICATED' // no API key, or an unknown one
  | 'FORBIDDEN' // what the key, the host or the origin may not do
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'NOT_ACCEPTABLE'
  | 'PAYLOAD_TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'NOT_READY' // the image of a job that has not ended
  | 'IDEMPOTENCY_CONFLICT'
  | 'REQUEST_TOO_LARGE' // it can never fit the device, or the room for jobs
  | 'RATE_LIMITED'
  | 'QUEUE_FULL'
  | 'STORAGE_FULL' // the job could not be stored, and so was not accepted
  | 'CANCELLED'
  | 'DEADLINE_EXCEEDED'
  | 'INTERRUPTED' // the server stops, and this job had not ended; or it was forgotten just as its key found it
  | 'ENGINE_CRASHED' // the engine host ended under this job, twice
  | 'ENGINE_UNAVAILABLE'
  | 'INTERNAL';

/** One thing that is wrong with one field. */
export interface FieldFault {
  field: string;
  message: string;
}

export interface ServiceErrorDetails {
  /** Every fault of the request. */
  faults?: readonly FieldFault[];
  /** When another try is worth it. */
  retryAfterS?: number;
  cause?: unknown;
}

export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly faults: readonly FieldFault[];
  readonly retryAfterS: number | undefined;

  constructor(
    readonly code: ServiceErrorCode,
    message: string,
    { faults = [], retryAfterS, cause }: ServiceErrorDetails = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.faults = faults;
    this.retryAfterS = retryAfterS;
  }
}
