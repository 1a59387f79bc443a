import { context, isSpanContextValid, ROOT_CONTEXT, trace, TraceFlags, type Context, type SpanContext } from '@opentelemetry/api';

const traceparent = /^00-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/;

/** A `traceparent` of W3C Trace Context; null: there is none, or none that counts. */
export function parseTraceparent(text: unknown): SpanContext | null {
  const [, traceId = '', spanId = '', flags = ''] = typeof text === 'string' ? (traceparent.exec(text) ?? []) : [];
  const parsed = { traceId, spanId, traceFlags: parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(parsed) ? parsed : null;
}

export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** Of the work that is being done, else what its caller `sent`, for no spans are made here; null: it belongs to no trace. */
export function currentTraceparent(sent?: unknown): string | null {
  const active = trace.getSpanContext(context.active());
  const known = active && isSpanContextValid(active) ? active : parseTraceparent(sent);
  return known && formatTraceparent(known);
}

/** The context of a span that was told as text, for its children; without one they begin a trace of their own. */
export function parentSpan(text: string | null): Context {
  const parent = parseTraceparent(text);
  return parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
}

/** For the log. */
export function traceIdOf(text: string | null): string | undefined {
  return parseTraceparent(text)?.traceId;
}
