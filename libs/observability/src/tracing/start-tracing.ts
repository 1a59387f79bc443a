import type { AppConfig } from '@app/config';
import type { SpanTarget } from './tracing-sdk.js';

/** Begins to send spans where the configuration says; without an endpoint nothing of it is loaded. Gives what sends the last ones. */
export async function startTracing(
  { otlpEndpoint, sampleRatio }: AppConfig['tracing'],
  { name, version }: Pick<SpanTarget, 'name' | 'version'>,
  onLost: SpanTarget['onLost'],
): Promise<() => Promise<void>> {
  if (otlpEndpoint === null) return () => Promise.resolve();
  const { sendSpans } = await import('./tracing-sdk.js');
  return sendSpans({ endpoint: otlpEndpoint, sampleRatio, name, version, onLost });
}
