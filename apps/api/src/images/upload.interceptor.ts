import { configTokens, type LimitsConfig } from '@app/config';
import { ServiceError, type ServiceErrorCode } from '@app/inference';
import { Inject, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Request, RequestHandler, Response } from 'express';
import multer, { MulterError } from 'multer';
import type { Observable } from 'rxjs';

/** One picture is wanted; a second is taken in only to be told of together with the other faults. */
const maxFiles = 2;
const maxFieldBytes = 1024 * 1024;
const maxFields = 64;

/** Takes a multipart body in, files into memory, with every limit set: multer's own are infinite. */
@Injectable()
export class UploadInterceptor implements NestInterceptor {
  private readonly parse: RequestHandler;

  constructor(@Inject(configTokens.limits) private readonly limits: Pick<LimitsConfig, 'maxUploadBytes'>) {
    const multerLimits = {
      fileSize: limits.maxUploadBytes,
      files: maxFiles,
      fieldSize: maxFieldBytes,
      fields: maxFields,
      parts: maxFiles + maxFields,
      fieldNameSize: 100,
      headerPairs: 20,
      fieldNestingDepth: 1,
      fieldArrayIndexLimit: 16,
    };
    this.parse = multer({ storage: multer.memoryStorage(), limits: multerLimits }).any();
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    // null: there is no body, which the fields' own rules tell better.
    if (request.is('multipart/form-data') === false)
      throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', 'the body must be multipart/form-data');
    await this.takeIn(request, http.getResponse<Response>());
    return next.handle();
  }

  private takeIn(request: Request, response: Response): Promise<void> {
    return new Promise((resolve, reject) => {
      this.parse(request, response, (error: unknown) => (error ? reject(uploadError(error, this.limits)) : resolve()));
    });
  }
}

function uploadError(error: unknown, { maxUploadBytes }: Pick<LimitsConfig, 'maxUploadBytes'>): ServiceError {
  if (!(error instanceof MulterError)) {
    const reason = error instanceof Error ? error.message : String(error);
    return new ServiceError('INVALID_ARGUMENT', `the form cannot be read: ${reason}`, { cause: error });
  }
  const { code, field, message } = error;
  if (code === 'LIMIT_FILE_SIZE') return fieldError('PAYLOAD_TOO_LARGE', field, `has more than ${maxUploadBytes} bytes`, error);
  if (code === 'LIMIT_FIELD_VALUE') return fieldError('PAYLOAD_TOO_LARGE', field, `has more than ${maxFieldBytes} bytes`, error);
  if (code === 'LIMIT_FILE_COUNT')
    return fieldError('INVALID_ARGUMENT', 'image', `must be one file, got more than ${maxFiles}`, error);
  return fieldError('INVALID_ARGUMENT', field, message, error);
}

function fieldError(code: ServiceErrorCode, field: string | undefined, message: string, cause: MulterError): ServiceError {
  if (field === undefined) return new ServiceError(code, message, { cause });
  return new ServiceError(code, `${field}: ${message}`, { faults: [{ field, message }], cause });
}
