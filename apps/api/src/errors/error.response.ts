import type { JobError } from '@app/inference';
import { applyDecorators } from '@nestjs/common';
import { ApiExtraModels, ApiProperty, ApiResponse, getSchemaPath } from '@nestjs/swagger';
import { answerOf, errorAnswers, errorTypes, type ErrorCode } from './error-answers.js';
import { errorExamples, exampleRequestId } from './error-examples.js';

export class ErrorDetail {
  @ApiProperty({ type: String, example: 'width' })
  field: string;

  @ApiProperty({ type: String, example: 'must be a multiple of 16, got 1000' })
  message: string;
}

export class ErrorBody {
  @ApiProperty({ enum: Object.keys(errorAnswers), example: 'INVALID_ARGUMENT' })
  code: ErrorCode;

  @ApiProperty({ enum: errorTypes })
  type: string;

  @ApiProperty({ type: String, example: 'width must be a multiple of 16, got 1000' })
  message: string;

  @ApiProperty({ type: String, nullable: true, description: 'the first wrong field', example: 'width' })
  param: string | null;

  @ApiProperty({ type: [ErrorDetail], required: false, description: 'every fault of the request' })
  details?: ErrorDetail[];

  @ApiProperty({ type: String, description: 'the same as in X-Request-Id' })
  request_id: string;
}

export class ErrorResponse {
  @ApiProperty({ type: ErrorBody })
  error: ErrorBody;
}

export function errorBody({ code, message, param, faults }: JobError, requestId: string): ErrorBody {
  const details = faults.length > 0 ? { details: [...faults] } : {};
  return { code, type: answerOf(code).type, message, param, ...details, request_id: requestId };
}

/** Documents these errors, one response a status. */
export function ApiErrors(...codes: ErrorCode[]): MethodDecorator & ClassDecorator {
  const responses = [...byStatus(codes)].map(([status, those]) => ApiResponse({ status, ...errorResponse(status, those) }));
  return applyDecorators(ApiExtraModels(ErrorResponse), ...responses);
}

export function byStatus(codes: readonly ErrorCode[]): Map<number, ErrorCode[]> {
  const found = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = errorAnswers[code];
    found.set(status, [...(found.get(status) ?? []), code]);
  }
  return found;
}

/** What the OpenAPI document says of these errors, which have one status: with an example of each. */
export function errorResponse(status: number, codes: readonly ErrorCode[]) {
  const examples = codes.map((code) => {
    const value: ErrorResponse = { error: errorBody(exampleOf(code), exampleRequestId) };
    return [code, { summary: errorAnswers[code].description, value }] as const;
  });
  return {
    description: codes.map((code) => `${code}: ${errorAnswers[code].description}`).join('. '),
    headers: headersOf(status, codes),
    content: {
      'application/json': { schema: { $ref: getSchemaPath(ErrorResponse) }, examples: Object.fromEntries(examples) },
    },
  };
}

function exampleOf(code: ErrorCode): JobError {
  const { message, faults = [] } = errorExamples[code];
  return { code, message, param: faults[0]?.field ?? null, faults, retryAfterS: null };
}

const rateLimitHeaders = {
  'RateLimit-Limit': header('requests that are taken in a window'),
  'RateLimit-Remaining': header('0'),
  'RateLimit-Reset': header('seconds until the next one is taken'),
};

function headersOf(status: number, codes: readonly ErrorCode[]): Record<string, HeaderDescription> {
  const retryAfter = codes.includes('NOT_READY') || [429, 503].includes(status);
  return {
    'X-Request-Id': header('the same as request_id'),
    ...(codes.some((code) => !errorAnswers[code].retry)
      ? { 'x-should-retry': header('"false": the same request would fail again') }
      : {}),
    ...(retryAfter ? { 'Retry-After': header('seconds until another try is worth it') } : {}),
    ...(status === 401 ? { 'WWW-Authenticate': header('Bearer') } : {}),
    ...(codes.includes('RATE_LIMITED') ? rateLimitHeaders : {}),
    ...(status === 405 ? { Allow: header('the methods that the route has') } : {}),
  };
}

interface HeaderDescription {
  description: string;
  schema: { type: 'string' };
}

export function header(description: string): HeaderDescription {
  return { description, schema: { type: 'string' } };
}
