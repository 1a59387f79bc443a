import { applyDecorators } from '@nestjs/common';
import { ApiAcceptedResponse, ApiExtraModels, ApiHeader, ApiOkResponse, getSchemaPath } from '@nestjs/swagger';
import { ApiErrors, header } from '../errors/error.response.js';
import { JobResponse } from '../jobs/job.response.js';
import { imageContent, ImageResponse } from './image.response.js';

const everyAnswer = { 'X-Request-Id': header("the caller's, else a new one"), 'X-Job-Id': header('the same as id') };

/** What all routes that draw have in common, for the OpenAPI document. */
export function ApiGeneration(): ClassDecorator & MethodDecorator {
  return applyDecorators(
    ApiExtraModels(ImageResponse),
    ApiHeader({
      name: 'Prefer',
      required: false,
      description: 'respond-async: the answer is a job, at once, to be read, followed and cancelled at /jobs/{id}',
      schema: { type: 'string' },
    }),
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description:
        'makes a retry safe: the same key with the same body is the same job while that waits, runs, or has completed and not ' +
        'expired. Accept and Prefer may differ',
      schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[ -~]+$' },
    }),
    ApiOkResponse({
      description: 'the images as JSON, or the bytes of one image when Accept allows image types only',
      content: {
        'application/json': { schema: { $ref: getSchemaPath(ImageResponse) } },
        ...imageContent,
      },
      headers: {
        ...everyAnswer,
        'X-Seed': header('seed of the first image'),
        'X-Warnings': header('codes of the warnings, when there are any'),
      },
    }),
    ApiAcceptedResponse({
      description: 'with Prefer: respond-async',
      type: JobResponse,
      headers: { ...everyAnswer, Location: header('the same as links.self'), 'Preference-Applied': header('respond-async') },
    }),
    ApiErrors('INVALID_ARGUMENT', 'UNSUPPORTED_BY_MODEL', 'METHOD_NOT_ALLOWED', 'NOT_ACCEPTABLE', 'PAYLOAD_TOO_LARGE'),
    ApiErrors('UNAUTHENTICATED', 'FORBIDDEN', 'IDEMPOTENCY_CONFLICT', 'UNSUPPORTED_MEDIA_TYPE', 'RATE_LIMITED', 'QUEUE_FULL'),
    ApiErrors(
      'CANCELLED',
      'INTERNAL',
      'NUMERICAL_FAILURE',
      'ENGINE_UNAVAILABLE',
      'ENGINE_CRASHED',
      'OUT_OF_MEMORY',
      'INTERRUPTED',
    ),
    ApiErrors('DEADLINE_EXCEEDED', 'STORAGE_FULL'),
  );
}
