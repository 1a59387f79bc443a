import { context, SpanStatusCode, trace, type Attributes, type Context, type Span, type TimeInput } from '@opentelemetry/api';

const instrumentation = 'qwen-image-server';

export function tracer() {
  return trace.getTracer(instrumentation);
}

export interface SpanOptions {
  attributes?: Attributes;
  /** The span around it, unless told. */
  parent?: Context;
}

/** Does `work` inside a span that ends with it, and tells of its failure. */
export async function traced<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
  const { attributes = {}, parent = context.active() } = options;
  const span = tracer().startSpan(name, { attributes }, parent);
  try {
    return await context.with(trace.setSpan(parent, span), () => work(span));
  } catch (error) {
    markFailed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** A span of what is over already; gives the context for its children. */
export function tracedPast(name: string, [start, end]: readonly [TimeInput, TimeInput], options: SpanOptions = {}): Context {
  const { attributes = {}, parent = context.active() } = options;
  const span = tracer().startSpan(name, { attributes, startTime: start }, parent);
  span.end(end);
  return trace.setSpan(parent, span);
}

/** Messages may hold what a client sent: the code says enough. */
function markFailed(span: Span, error: unknown): void {
  const code = (error as { code?: unknown } | null)?.code;
  span.setStatus({ code: SpanStatusCode.ERROR, message: typeof code === 'string' ? code : 'INTERNAL' });
}
