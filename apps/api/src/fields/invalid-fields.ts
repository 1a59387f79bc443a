import { ServiceError, type FieldFault } from '@app/inference';

/** More than a request has fields: a megabyte of wrong names is not worth an answer of many. */
const maxTold = 100;

/** One error for all faults of a request. */
export function invalidFields(faults: readonly FieldFault[]): ServiceError {
  const told = faults.slice(0, maxTold);
  const sentences = told.map(({ field, message }) => `${field} ${message}`);
  const count = faults.length > maxTold ? `${faults.length} faults, the first ${maxTold}` : `${faults.length} faults`;
  const message = sentences.length === 1 ? (sentences[0] ?? '') : `${count}: ${sentences.join('; ')}`;
  return new ServiceError('INVALID_ARGUMENT', message, { faults: told });
}
