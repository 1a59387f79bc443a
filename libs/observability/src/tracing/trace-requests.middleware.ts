import { context, isSpanContextValid, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { NextFunction, Request, Response } from 'express';
import { extendContext } from '../request-context.js';
import { routeOf } from '../route-of.js';
import { toldStatus } from '../told-status.js';
import { formatTraceparent, parseTraceparent } from './trace-context.js';
import { tracer } from './tracing.js';

/**
 * One span a request, also of one that a guard refuses, in the trace that its caller has begun or in a new one. Goes behind
 * `requestId`. The trace's id is in the log also when no spans are sent: the caller may send its own.
 */
export function traceRequests(request: Request, response: Response, next: NextFunction): void {
  const parent = parentOf(request);
  if (isProbe(request)) {
    context.with(parent, next);
    return;
  }
  const { method } = request;
  const attributes = { 'http.request.method': method, 'url.path': request.path };
  const span = tracer().startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
  const spanContext = span.spanContext();
  if (isSpanContextValid(spanContext)) {
    extendContext({ traceId: spanContext.traceId });
    if (span.isRecording()) response.setHeader('traceresponse', formatTraceparent(spanContext));
  }
  response.once('close', () => {
    const [route, status] = [routeOf(request), toldStatus(response)];
    span.updateName(`${method} ${route}`);
    span.setAttributes({ 'http.route': route, 'http.response.status_code': status });
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  });
  context.with(trace.setSpan(parent, span), next);
}

/** They come every few seconds, and nobody looks at how they went. */
function isProbe({ path }: Request): boolean {
  return path === '/metrics' || /^\/health(\/|$)/.test(path);
}

function parentOf(request: Request) {
  const extracted = propagation.extract(ROOT_CONTEXT, request.headers);
  if (trace.getSpanContext(extracted)) return extracted;
  const parent = parseTraceparent(request.headers['traceparent']);
  return parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
}
