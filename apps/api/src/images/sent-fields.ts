import type { FieldFault } from '@app/inference';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { JsonSource } from '../fields/json-source.js';
import { readCall, type Call } from './call.js';
import { takeJsonBody } from './json-body.interceptor.js';

/** A body before anything is known of it; GenerationFieldsPipe makes the DTO of it. */
export class SentFields {
  constructor(
    readonly values: unknown,
    /** Form values are text, JSON values have types. */
    readonly encoding: 'json' | 'form',
    readonly call: Call,
    /** What is wrong with the files, told together with what is wrong with the fields. */
    readonly fileFaults: readonly FieldFault[],
    /** How a JSON body was written; null for a form. */
    readonly source: JsonSource | null = null,
  ) {}
}

export const JsonFields = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<Request>();
  const { values, source } = takeJsonBody(request);
  return new SentFields(values, 'json', readCall(request), [], source);
});

export const FormFields = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<Request>();
  return new SentFields(request.body ?? {}, 'form', readCall(request), fileFaults(request));
});

/** The file of the field `image`; FormFields refuses a form without one. */
export const UploadedImage = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const request = context.switchToHttp().getRequest<Request>();
  const file = uploads(request).find(({ fieldname }) => fieldname === 'image');
  const bytes = file?.buffer ?? Buffer.alloc(0);
  // The request lives as long as its answer takes, and is not to hold them.
  if (file) file.buffer = Buffer.alloc(0);
  return { field: 'image', bytes };
});

function uploads(request: Request): Express.Multer.File[] {
  return Array.isArray(request.files) ? request.files : [];
}

function fileFaults(request: Request): FieldFault[] {
  const names = uploads(request).map(({ fieldname }) => fieldname);
  const wrong = imageFault(request, names.filter((name) => name === 'image').length);
  const others = [...new Set(names)].filter((name) => name !== 'image');
  return [
    ...(wrong === null ? [] : [{ field: 'image', message: wrong }]),
    ...others.map((field) => ({ field, message: 'is not a file of this route; did you mean image?' })),
  ];
}

function imageFault(request: Request, count: number): string | null {
  if (Object.hasOwn((request.body ?? {}) as object, 'image')) return 'must be a file: its part needs a file name';
  if (count === 0) return 'is required: a PNG, JPEG or WebP file';
  return count === 1 ? null : `must be one file, got ${count}`;
}
