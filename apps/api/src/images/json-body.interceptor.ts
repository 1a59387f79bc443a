import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { json, type Request, type Response } from 'express';
import { isUtf8 } from 'node:buffer';
import type { Observable } from 'rxjs';

const maxJsonBytes = 1024 * 1024;
const parse = json({ limit: maxJsonBytes, strict: false, verify: refuseOtherEncodings });

/** Takes a JSON body in. Not as a middleware: those run before the guards, which refuse without reading a body. */
@Injectable()
export class JsonBodyInterceptor implements NestInterceptor {
  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    await takeIn(http.getRequest<Request>(), http.getResponse<Response>());
    return next.handle();
  }
}

function takeIn(request: Request, response: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    parse(request, response, (error?: Error) => (error ? reject(error) : resolve()));
  });
}

/** Bytes that are no text would silently become other characters. */
function refuseOtherEncodings(_request: unknown, _response: unknown, body: Buffer): void {
  if (!isUtf8(body)) throw new Error('not UTF-8'); // the parser's own error goes around it
}
