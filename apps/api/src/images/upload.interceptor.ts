import { configTokens, type LimitsConfig } from '@app/config';
import { ServiceError } from '@app/inference';
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

  constructor(@Inject(configTokens.limits) { maxUploadBytes }: LimitsConfig) {
    const limits = {
      fileSize: maxUploadBytes,
      files: maxFiles,
      fieldSize: maxFieldBytes,
      fields: maxFields,
      parts: maxFiles + maxFields,
      fieldNameSize: 100,
      headerPairs: 20,
      fieldNestingDepth: 1,
      fieldArrayIndexLimit: 16,
    };
    this.parse = multer({ storage: multer.memoryStorage(), limits }).any();
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    if (!request.is('multipart/form-data'))
      throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', 'the body must be multipart/form-data');
    await this.takeIn(request, http.getResponse<Response>());
    return next.handle();
  }

  private takeIn(request: Request, response: Response): Promise<void> {
    return new Promise((resolve, reject) => {
      this.parse(request, response, (error: unknown) => (error ? reject(uploadError(error)) : resolve()));
    });
  }
}

function uploadError(error: unknown): ServiceError {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof MulterError)) {
    return new ServiceError('INVALID_ARGUMENT', `the form cannot be read: ${reason}`, { cause: error });
  }
  const tooLarge = error.code === 'LIMIT_FILE_SIZE' || error.code === 'LIMIT_FIELD_VALUE';
  const field = error.field === undefined ? '' : `${error.field}: `;
  return new ServiceError(tooLarge ? 'PAYLOAD_TOO_LARGE' : 'INVALID_ARGUMENT', `${field}${reason}`, { cause: error });
}
