import { EngineError, type EngineErrorCode } from '@app/engine';
import { ImageError, type ImageErrorCode } from '@app/image-processing';
import { ServiceError, type FieldFault, type ServiceErrorCode } from './service.error.js';

/** Faults of the checkpoint or of the device, not of a request: clients hear INTERNAL. */
type UntoldCode = 'INVALID_MODEL' | 'DEVICE_LOST';

/** Every code that a job may end with or a request be refused with. */
export type JobErrorCode = ServiceErrorCode | ImageErrorCode | Exclude<EngineErrorCode, UntoldCode>;

/** An error as it is told and stored: no stack, no paths, nothing that only the log may know. */
export interface JobError {
  code: JobErrorCode;
  message: string;
  /** The field that is to blame, by its name in the API. */
  param: string | null;
  faults: readonly FieldFault[];
  retryAfterS: number | null;
}

/** How a job ended that had ended before anybody waited for it: all that is known is what was stored. */
export class StoredJobError extends Error {
  override readonly name = 'StoredJobError';

  constructor(readonly stored: JobError) {
    super(stored.message);
  }
}

/** What whoever asked may know of `error`. Unknown ones, and those of a checkpoint that changed under the server, are INTERNAL. */
export function toJobError(error: unknown): JobError {
  if (error instanceof StoredJobError) return error.stored;
  if (error instanceof ServiceError) {
    const { code, message, faults, retryAfterS } = error;
    return { code, message, param: faults[0]?.field ?? null, faults, retryAfterS: retryAfterS ?? null };
  }
  if (error instanceof ImageError) return ofField(error.code, error.field, error.message);
  if (error instanceof EngineError) {
    const { code, field, message } = error;
    if (isTold(code)) return field === undefined ? plainJobError(code, message) : ofField(code, field, message);
  }
  return plainJobError('INTERNAL', 'an internal error; the log has it under this request id');
}

function isTold(code: EngineErrorCode): code is Exclude<EngineErrorCode, UntoldCode | 'INTERNAL'> {
  return code !== 'INVALID_MODEL' && code !== 'DEVICE_LOST' && code !== 'INTERNAL';
}

export function plainJobError(code: JobErrorCode, message: string): JobError {
  return { code, message, param: null, faults: [], retryAfterS: null };
}

function ofField(code: JobErrorCode, field: string, message: string): JobError {
  return { ...plainJobError(code, `${field}: ${message}`), param: field, faults: [{ field, message }] };
}
