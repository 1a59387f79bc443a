import { ServiceError, type ServiceErrorCode } from '@app/inference';
import type { Request } from 'express';
import { MulterError } from 'multer';
import type { FormLimits } from './form-limits.js';

/** What multer, busboy or the connection found wrong with a form, in the words of the service. */
export function formError(error: unknown, request: Request, limits: FormLimits): ServiceError {
  if (error instanceof ServiceError) return error;
  if (request.destroyed && !request.complete) return new ServiceError('CANCELLED', 'the client has gone', { cause: error });
  if (error instanceof MulterError) return limitError(error, limits);
  const reason = error instanceof Error ? error.message : String(error);
  return new ServiceError('INVALID_ARGUMENT', `the form cannot be read: ${reason}`, { cause: error });
}

/** A field is told by nothing else. */
export function namelessPart(cause?: unknown): ServiceError {
  const message = 'the form has a part without a name: each needs a Content-Disposition: form-data; name="…"';
  return new ServiceError('INVALID_ARGUMENT', message, { cause });
}

export function fieldError(code: ServiceErrorCode, field: string, message: string, cause?: unknown): ServiceError {
  return new ServiceError(code, `${field}: ${message}`, { faults: [{ field, message }], cause });
}

function limitError(error: MulterError, limits: FormLimits): ServiceError {
  const { field = '' } = error;
  const wrong = (message: string) => new ServiceError('INVALID_ARGUMENT', message, { cause: error });
  // The types know fewer codes than multer has.
  switch (error.code as string) {
    case 'LIMIT_FILE_SIZE':
      return fieldError('PAYLOAD_TOO_LARGE', field, `has more than ${limits.fileSize} bytes`, error);
    case 'LIMIT_FIELD_VALUE':
      return fieldError('PAYLOAD_TOO_LARGE', field, `has more than ${limits.fieldSize} bytes`, error);
    case 'LIMIT_FILE_COUNT':
      return fieldError('INVALID_ARGUMENT', 'image', `must be one file, got more than ${limits.files}`, error);
    case 'LIMIT_FIELD_NESTING':
      return fieldError('INVALID_ARGUMENT', field, 'has brackets in its name: a list or an object is JSON in one field', error);
    case 'LIMIT_FIELD_COUNT':
      return wrong(`the form has more than ${limits.fields} fields`);
    case 'LIMIT_PART_COUNT':
      return wrong(`the form has more than ${limits.parts} parts`);
    case 'LIMIT_FIELD_KEY':
      return wrong(`the form has a field whose name is longer than ${limits.fieldNameSize} bytes`);
    case 'MISSING_FIELD_NAME':
      return namelessPart(error);
    default:
      return wrong(`the form cannot be read: ${error.message}`);
  }
}
