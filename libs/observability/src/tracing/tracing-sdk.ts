import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';

export interface SpanTarget {
  /** Base URL, without a slash at its end, of an OTLP receiver that speaks HTTP: spans go to <endpoint>/v1/traces. */
  endpoint: string;
  /** Of the traces that begin here; one that a caller has begun is sampled as the caller says. */
  sampleRatio: number;
  name: string;
  version: string;
  /** Told why spans did not arrive, at most once a minute. */
  onLost: (reason: string) => void;
}

const quietMs = 60_000;

/** Loaded only when there is somewhere to send spans. Gives what sends the last ones. */
export function sendSpans({ endpoint, sampleRatio, name, version, onLost }: SpanTarget): () => Promise<void> {
  const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces` });
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': name, 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  setGlobalErrorHandler(onceIn(quietMs, onLost));
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  return () => provider.shutdown();
}

/** A receiver that is away fails every batch: the log tells of it, and is not filled with it. */
function onceIn(ms: number, tell: (reason: string) => void): (error: unknown) => void {
  let toldAt = -Infinity;
  return (error) => {
    if (performance.now() - toldAt < ms) return;
    toldAt = performance.now();
    tell(reasonOf(error));
  };
}

// Of several addresses tried, Node tells in an AggregateError without a message.
function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  if (message !== '') return message;
  return code ?? String(error);
}
