import type { FieldFault } from '@app/inference';
import type { ErrorCode } from './error-answers.js';

export const exampleRequestId = '0b7f4f0c-4a6d-4f0e-9f1c-6f3a1f0f8e21';

interface ErrorExample {
  message: string;
  faults?: readonly FieldFault[];
}

const wrongWidth = 'must be a multiple of 16, got 1000';
const largest = 'the largest size of this shape that fits is 3584x3584';

/** What the OpenAPI document shows of every error, in words that the service uses. */
export const errorExamples: Readonly<Record<ErrorCode, ErrorExample>> = {
  INVALID_ARGUMENT: { message: `width ${wrongWidth}`, faults: [{ field: 'width', message: wrongWidth }] },
  UNSUPPORTED_BY_MODEL: { message: 'other, which was loaded while the request waited, needs 2 steps at least, not 1' },
  UNAUTHENTICATED: { message: 'an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY' },
  FORBIDDEN: { message: 'the key alice lacks the scope admin' },
  NOT_FOUND: { message: 'there is no such job' },
  METHOD_NOT_ALLOWED: { message: '/text-to-image takes POST, not GET' },
  NOT_ACCEPTABLE: { message: 'output_format is png, and Accept does not allow image/png' },
  NOT_READY: { message: 'the job is running; its images are there when it has completed' },
  IDEMPOTENCY_CONFLICT: { message: 'this Idempotency-Key was sent with another request' },
  PAYLOAD_TOO_LARGE: { message: 'the body has more bytes than JSON may have here (1 MiB)' },
  UNSUPPORTED_MEDIA_TYPE: { message: 'the body must be application/json' },
  INVALID_IMAGE: { message: 'image: the file is empty', faults: [{ field: 'image', message: 'the file is empty' }] },
  REQUEST_TOO_LARGE: {
    message: `one image of 4096x4096 needs about 21000 MiB of 16000 MiB of memory; ${largest}`,
    faults: [{ field: 'width', message: `and height 4096x4096 need more memory than there is; ${largest}` }],
  },
  RATE_LIMITED: { message: 'more than 600 requests in 60 s; the next one is taken in 7 s' },
  QUEUE_FULL: { message: '64 requests wait already' },
  CANCELLED: { message: 'the job was cancelled' },
  INTERNAL: { message: 'an internal error; the log has it under this request id' },
  NUMERICAL_FAILURE: { message: "NaN or Inf in the result of the stage 'denoise'" },
  ENGINE_UNAVAILABLE: { message: 'the model is being loaded' },
  ENGINE_CRASHED: { message: 'the engine or the server ended 2 times under this job' },
  OUT_OF_MEMORY: { message: 'the memory does not hold this request just now' },
  INTERRUPTED: { message: 'the server was restarted' },
  DEADLINE_EXCEEDED: { message: 'the job had not ended after 600000 ms' },
  STORAGE_FULL: {
    message:
      'the job was not accepted: it needs 2000000 bytes with its results, and of the 2147483648 that all jobs together may have ' +
      '(jobs.maxBytes) 2147000000 are taken',
  },
};
