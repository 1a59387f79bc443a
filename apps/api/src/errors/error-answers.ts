import type { JobErrorCode } from '@app/inference';

/** Every code that an answer may carry: those of requests that were refused are among those that a job may end with. */
export type ErrorCode = JobErrorCode;

export const errorTypes = [
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'rate_limit_error',
  'server_error',
] as const;
export type ErrorType = (typeof errorTypes)[number];

export interface ErrorAnswer {
  status: number;
  type: ErrorType;
  /** False: the same request would fail again, and clients are told not to try. */
  retry: boolean;
  description: string;
}

function badRequest(status: number, description: string): ErrorAnswer {
  return { status, type: 'invalid_request_error', retry: false, description };
}

function serverError(status: number, retry: boolean, description: string): ErrorAnswer {
  return { status, type: 'server_error', retry, description };
}

export const errorAnswers: Readonly<Record<ErrorCode, ErrorAnswer>> = {
  INVALID_ARGUMENT: badRequest(400, 'wrong fields, or a body that cannot be parsed; all faults are in details'),
  UNSUPPORTED_BY_MODEL: badRequest(400, 'the loaded checkpoint cannot do this'),
  UNAUTHENTICATED: {
    status: 401,
    type: 'authentication_error',
    retry: false,
    description: 'no API key, or an unknown one; with WWW-Authenticate',
  },
  FORBIDDEN: {
    status: 403,
    type: 'permission_error',
    retry: false,
    description: 'the API key lacks the scope, or a browser page from elsewhere asks',
  },
  NOT_FOUND: badRequest(404, 'there is no such route, job or image'),
  METHOD_NOT_ALLOWED: badRequest(405, 'the route has other methods, told in Allow'),
  NOT_ACCEPTABLE: badRequest(406, 'nothing that Accept allows can be made, or output_format contradicts it'),
  NOT_READY: {
    status: 409,
    type: 'invalid_request_error',
    retry: true,
    description: 'the job has not ended; with Retry-After',
  },
  IDEMPOTENCY_CONFLICT: badRequest(409, 'the Idempotency-Key came with another request before'),
  PAYLOAD_TOO_LARGE: badRequest(413, 'the body or a file has too many bytes'),
  UNSUPPORTED_MEDIA_TYPE: badRequest(415, 'the body, or a file by its bytes, is of another type'),
  INVALID_IMAGE: badRequest(422, 'the file is empty, truncated, broken, or has too many pixels'),
  REQUEST_TOO_LARGE: badRequest(422, 'this size and count can never fit the device, or the room for jobs'),
  RATE_LIMITED: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    description: 'too many requests of this client; with Retry-After and RateLimit-*',
  },
  QUEUE_FULL: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    description: 'too many requests wait already; with Retry-After',
  },
  CANCELLED: serverError(499, false, 'the client has gone, or DELETE stopped the job'),
  INTERNAL: serverError(500, true, 'an error of the service itself; the log has it under the request id'),
  NUMERICAL_FAILURE: serverError(500, false, 'the model gave NaN or Inf; the message names the stage'),
  ENGINE_UNAVAILABLE: serverError(503, true, 'the engine is loading, restarting or stopping; with Retry-After'),
  ENGINE_CRASHED: serverError(503, false, 'the engine ended under this request, and again when it was run once more'),
  OUT_OF_MEMORY: serverError(503, true, 'the device could not hold this request just now'),
  INTERRUPTED: serverError(503, true, 'the server stopped while the request was waiting or running; with Retry-After'),
  DEADLINE_EXCEEDED: serverError(504, false, 'not done within timeout_ms, or within what the server allows'),
  STORAGE_FULL: serverError(507, true, 'there is no room to store the job: it was not accepted'),
};

/** Of the code of a job that an earlier server left: that may have been a newer one, whose codes are not all known here. */
export function answerOf(code: string): ErrorAnswer {
  return Object.hasOwn(errorAnswers, code) ? errorAnswers[code as ErrorCode] : errorAnswers.INTERNAL;
}
