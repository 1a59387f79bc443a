import { ServiceError, type FieldFault } from '@app/inference';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { readCall, type Call } from './call.js';

/** A body before anything is known of it; GenerationFieldsPipe makes the DTO of it. */
export class SentFields {
  constructor(
    readonly values: unknown,
    /** Form values are text, JSON values have types. */
    readonly encoding: 'json' | 'form',
    readonly call: Call,
    /** What is wrong with the files, told together with what is wrong with the fields. */
    readonly fileFaults: readonly FieldFault[],
  ) {}
}

export const JsonFields = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<Request>();
  // null: there is no body, which is a fault of the fields and not of the type.
  if (request.is('application/json') === false)
    throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', 'the body must be application/json');
  return new SentFields(request.body, 'json', readCall(request), []);
});

export const FormFields = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<Request>();
  return new SentFields(request.body ?? {}, 'form', readCall(request), fileFaults(request));
});

/** The file of the field `image`; FormFields refuses a form without one. */
export const UploadedImage = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<Request>();
  const file = uploads(request).find(({ fieldname }) => fieldname === 'image');
  return { field: 'image', bytes: file?.buffer ?? Buffer.alloc(0) };
});

function uploads(request: Request): Express.Multer.File[] {
  return Array.isArray(request.files) ? request.files : [];
}

function fileFaults(request: Request): FieldFault[] {
  const files = uploads(request);
  const count = files.filter(({ fieldname }) => fieldname === 'image').length;
  const image = {
    field: 'image',
    message: count === 0 ? 'is required: a PNG, JPEG or WebP file' : `must be one file, got ${count}`,
  };
  const others = files.map(({ fieldname }) => fieldname).filter((name) => name !== 'image');
  const unknown = [...new Set(others)].map((field) => ({ field, message: 'is not a file of this route; did you mean image?' }));
  return count === 1 ? unknown : [image, ...unknown];
}
