import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiResponse } from '@nestjs/swagger';
import { errorAnswers, errorTypes, type ErrorCode } from './error-answers.js';

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

/** Documents these errors, one response a status. */
export function ApiErrors(...codes: ErrorCode[]): MethodDecorator & ClassDecorator {
  const byStatus = new Map<number, string[]>();
  for (const code of codes) {
    const { status, description } = errorAnswers[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), `${code}: ${description}`]);
  }
  const responses = [...byStatus].map(([status, lines]) =>
    ApiResponse({ status, type: ErrorResponse, description: lines.join('. ') }),
  );
  return applyDecorators(...responses);
}
