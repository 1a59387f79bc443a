import type { OpenAPIObject } from '@nestjs/swagger';
import type { ErrorCode } from '../errors/error-answers.js';
import { byStatus, errorResponse } from '../errors/error.response.js';
import { operationsOf } from './operations.js';

/** A foreign Host, a wrong method and a fault of the service itself may meet any route. */
const ofEveryRoute: readonly ErrorCode[] = ['FORBIDDEN', 'METHOD_NOT_ALLOWED', 'INTERNAL'];
/** A path that is no valid percent-encoding is the router's to refuse, where it has to read a part of it. */
const ofPathsWithParts: readonly ErrorCode[] = ['INVALID_ARGUMENT'];

/** Adds the errors that no controller gives itself, where the operation does not tell of their status already. */
export function describeCommonErrors(document: OpenAPIObject): void {
  for (const { path, operation } of operationsOf(document)) {
    const codes = [...(path.includes('{') ? ofPathsWithParts : []), ...ofEveryRoute];
    for (const [status, those] of byStatus(codes)) operation.responses[status] ??= errorResponse(status, those);
  }
}
