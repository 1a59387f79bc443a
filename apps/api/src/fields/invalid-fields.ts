import { ServiceError, type FieldFault } from '@app/inference';

/** One error for all faults of a request. */
export function invalidFields(faults: readonly FieldFault[]): ServiceError {
  const sentences = faults.map(({ field, message }) => `${field} ${message}`);
  const message = sentences.length === 1 ? (sentences[0] ?? '') : `${sentences.length} faults: ${sentences.join('; ')}`;
  return new ServiceError('INVALID_ARGUMENT', message, { faults });
}
