import { plainJobError, toJobError, type JobError } from '@app/inference';
import { HttpException } from '@nestjs/common';
import type { ErrorCode } from './error-answers.js';

/** Whoever threw it: the service, the engine, the image decoder, Express' body parser or Nest itself. */
export function toKnownError(error: unknown): JobError {
  return fromHttp(error) ?? toJobError(error);
}

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

/** A body of JSON with more than 1 MiB. */
export const tooLargeJson = {
  code: 'PAYLOAD_TOO_LARGE',
  message: 'the body has more bytes than JSON may have here (1 MiB)',
} as const;

/** By `type` of the body parser's errors: https://github.com/expressjs/body-parser/tree/v2.2.0#errors */
const parserErrors: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  'request.aborted': { code: 'CANCELLED', message: 'the client has gone' },
  'charset.unsupported': { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'the charset of a JSON body must be utf-8' },
  'entity.verify.failed': { code: 'INVALID_ARGUMENT', message: 'the body is not valid UTF-8' },
  'entity.too.large': tooLargeJson,
};

function fromHttp(error: unknown): JobError | null {
  if (!(error instanceof Error)) return null;
  const parserError = parserErrors['type' in error ? String(error.type) : ''];
  if (parserError) return plainJobError(parserError.code, parserError.message);
  const status: unknown = error instanceof HttpException ? error.getStatus() : 'status' in error ? error.status : null;
  // Whatever else Express finds wrong with a request (a Range, a condition that does not hold) is the client's doing.
  const isClients = Number(status) >= 400 && Number(status) < 500;
  const code = codeOfStatus[Number(status)] ?? (isClients ? 'INVALID_ARGUMENT' : null);
  return code ? plainJobError(code, error.message) : null;
}
