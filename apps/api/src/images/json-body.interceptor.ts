import { ServiceError } from '@app/inference';
import { createParamDecorator, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { json, type Request, type Response } from 'express';
import { isUtf8 } from 'node:buffer';
import type { Observable } from 'rxjs';
import { tooLargeJson } from '../errors/known-error.js';
import { readJsonSource, type JsonSource } from '../fields/json-source.js';
import { UploadBudget } from '../uploads/upload-budget.js';

const maxJsonBytes = 1024 * 1024;
/** About what a connection costs anyway: such bodies pass without a share of the budget, also where uploads have taken all of it. */
const uncountedBytes = 64 * 1024;
const parse = json({ limit: maxJsonBytes, strict: false, verify: keepSource });

/** Takes a JSON body in. Not as a middleware: those run before the guards, which refuse without reading a body. */
@Injectable()
export class JsonBodyInterceptor implements NestInterceptor {
  constructor(private readonly budget: UploadBudget) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const [request, response] = [http.getRequest<Request>(), http.getResponse<Response>()];
    if (hasBody(request)) {
      refuseUnread(request);
      const share = this.budget.open(request);
      try {
        const bytes = mostBytes(request);
        if (bytes > uncountedBytes) share.grow(bytes);
        await takeIn(request, response);
      } finally {
        share.release();
      }
    }
    return next.handle();
  }
}

/** By its headers alone; the parser would read all of a body that is too large before it says so. */
function refuseUnread(request: Request): void {
  if (!request.is('application/json')) throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', 'the body must be application/json');
  if (Number(request.headers['content-length'] ?? 0) > maxJsonBytes)
    throw new ServiceError(tooLargeJson.code, tooLargeJson.message);
}

/** What the body may take of memory, by its headers: one that does not come to its end must be paid for as it is. */
function mostBytes({ headers }: Request): number {
  const { 'content-length': length, 'content-encoding': coding = 'identity' } = headers;
  return length === undefined || coding !== 'identity' ? maxJsonBytes : Number(length);
}

/** One of no bytes is none, and has no type: whether there must be one is for its fields to say. */
function hasBody({ headers }: Request): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The parser hears nothing of a client that went before it began, and says nothing of some that go later. */
function takeIn(request: Request, response: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new ServiceError('CANCELLED', 'the client has gone'));
    if (response.closed) {
      gone();
      return;
    }
    response.once('close', gone);
    parse(request, response, (error?: Error) => (error ? reject(explained(error, request)) : resolve()));
  });
}

/** What zlib finds wrong has no `type`, and does not say what it was asked to unpack. */
function explained(error: Error, { headers }: Request): Error {
  const { 'content-encoding': coding = 'identity' } = headers;
  if (coding === 'identity' || 'type' in error) return error;
  return new ServiceError('INVALID_ARGUMENT', `the body is not the ${coding} that its Content-Encoding says: ${error.message}`);
}

const sources = new WeakMap<object, string>();

export interface JsonBody {
  /** Undefined when none came. */
  values: unknown;
  source: JsonSource;
}

/** Body of a request, once: its text is not kept as long as the request. */
export function takeJsonBody(request: Request): JsonBody {
  const source = readJsonSource(sources.get(request) ?? '');
  sources.delete(request);
  return { values: request.body, source };
}

/** In the place of Nest's Body, which does not tell of keys that came twice. */
export const SentJson = createParamDecorator((_data: unknown, context: ExecutionContext): JsonBody =>
  takeJsonBody(context.switchToHttp().getRequest<Request>()),
);

/**
 * Bytes that are no text would silently become other characters; JSON is UTF-8 (RFC 8259, 8.1). The parser itself takes UTF-16
 * and others too. It keeps the `type` of what is thrown here, if it has one.
 */
function keepSource(request: object, _response: unknown, body: Buffer, encoding: string): void {
  if (encoding !== 'utf-8') throw Object.assign(new Error('not UTF-8'), { type: 'charset.unsupported' });
  if (!isUtf8(body)) throw new Error('not UTF-8');
  sources.set(request, body.toString());
}
