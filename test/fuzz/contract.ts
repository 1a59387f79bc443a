/** The table of errors of the HTTP contract, written down a second time: what every answer is held against. */
export interface ErrorRow {
  status: number;
  retry: boolean;
  retryAfter?: true;
}

export const errorRows: Readonly<Record<string, ErrorRow>> = {
  INVALID_ARGUMENT: { status: 400, retry: false },
  UNSUPPORTED_BY_MODEL: { status: 400, retry: false },
  UNAUTHENTICATED: { status: 401, retry: false },
  FORBIDDEN: { status: 403, retry: false },
  NOT_FOUND: { status: 404, retry: false },
  METHOD_NOT_ALLOWED: { status: 405, retry: false },
  NOT_ACCEPTABLE: { status: 406, retry: false },
  NOT_READY: { status: 409, retry: true, retryAfter: true },
  IDEMPOTENCY_CONFLICT: { status: 409, retry: false },
  PAYLOAD_TOO_LARGE: { status: 413, retry: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retry: false },
  INVALID_IMAGE: { status: 422, retry: false },
  REQUEST_TOO_LARGE: { status: 422, retry: false },
  RATE_LIMITED: { status: 429, retry: true, retryAfter: true },
  QUEUE_FULL: { status: 429, retry: true, retryAfter: true },
  CANCELLED: { status: 499, retry: false },
  INTERNAL: { status: 500, retry: true },
  NUMERICAL_FAILURE: { status: 500, retry: false },
  ENGINE_UNAVAILABLE: { status: 503, retry: true, retryAfter: true },
  OUT_OF_MEMORY: { status: 503, retry: true },
  INTERRUPTED: { status: 503, retry: true, retryAfter: true },
  ENGINE_CRASHED: { status: 503, retry: false },
  DEADLINE_EXCEEDED: { status: 504, retry: false },
  STORAGE_FULL: { status: 507, retry: true },
};

/** Of a JSON body, by the contract. */
export const mostJsonBytes = 1024 * 1024;

export function errorTypeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status >= 499 ? 'server_error' : 'invalid_request_error';
}

/** Those of the 5xx that an answer to any request may be: the reason is not a fault of the service's own. */
export const allowedServerErrors: readonly number[] = [503, 504, 507];
