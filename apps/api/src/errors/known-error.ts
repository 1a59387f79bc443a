import { EngineError } from '@app/engine';
import { ImageError } from '@app/image-processing';
import type { FieldFault } from '@app/inference';
import { ServiceError } from '@app/inference';
import { HttpException } from '@nestjs/common';
import type { ErrorCode } from './error-answers.js';

/** An error in the words of an answer. */
export interface KnownError {
  code: ErrorCode;
  message: string;
  param: string | null;
  faults: readonly FieldFault[];
  retryAfterS: number | undefined;
}

/** Whoever threw it: the service, the engine, the image decoder, Express' body parser or Nest itself. */
export function toKnownError(error: unknown): KnownError {
  if (error instanceof ServiceError) {
    const { code, message, faults, retryAfterS } = error;
    return { code, message, param: faults[0]?.field ?? null, faults, retryAfterS };
  }
  if (error instanceof ImageError) return knownField(error.code, error.field, error.message);
  if (error instanceof EngineError && error.code !== 'INVALID_MODEL' && error.code !== 'INTERNAL') {
    const { code, field, message } = error;
    return field === undefined ? known(code, message) : knownField(code, field, message);
  }
  return fromHttp(error) ?? known('INTERNAL', 'an internal error; the log has it under this request id');
}

function known(code: ErrorCode, message: string): KnownError {
  return { code, message, param: null, faults: [], retryAfterS: undefined };
}

function knownField(code: ErrorCode, field: string, message: string): KnownError {
  return { ...known(code, `${field}: ${message}`), param: field, faults: [{ field, message }] };
}

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

/** By `type` of the body parser's errors: https://github.com/expressjs/body-parser/tree/v2.2.0#errors */
const parserErrors: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  'request.aborted': { code: 'CANCELLED', message: 'the client has gone' },
  'entity.verify.failed': { code: 'INVALID_ARGUMENT', message: 'the body is not valid UTF-8' },
  'entity.too.large': { code: 'PAYLOAD_TOO_LARGE', message: 'the body has more bytes than JSON may have here (1 MiB)' },
};

function fromHttp(error: unknown): KnownError | null {
  if (!(error instanceof Error)) return null;
  const parserError = parserErrors['type' in error ? String(error.type) : ''];
  if (parserError) return known(parserError.code, parserError.message);
  const status: unknown = error instanceof HttpException ? error.getStatus() : 'status' in error ? error.status : null;
  // Whatever else Express finds wrong with a request (a Range, a condition that does not hold) is the client's doing.
  const isClients = Number(status) >= 400 && Number(status) < 500;
  const code = codeOfStatus[Number(status)] ?? (isClients ? 'INVALID_ARGUMENT' : null);
  return code ? known(code, error.message) : null;
}
