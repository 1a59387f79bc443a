import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry, type RegistryContentType } from 'prom-client';
import { currentContext } from './request-context.js';

export type Labels = Readonly<Record<string, string>>;

/** One sample, or one for each set of labels. */
export type Sampled = number | readonly (readonly [Labels, number])[];

/** Seconds of work that may take from a moment to an hour. */
export const longSeconds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600];

/** Seconds of what is usually over in milliseconds. */
export const shortSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Of the text format, and of OpenMetrics, which also tells an example of each bucket. */
const contentTypes: Readonly<Record<'text' | 'openMetrics', RegistryContentType>> = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openMetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};
export type MetricsFormat = keyof typeof contentTypes;

/** Its declared constructor takes nothing; the real one takes the format. */
const OpenRegistry = Registry as unknown as new (contentType: RegistryContentType) => Registry<RegistryContentType>;

/** A histogram whose buckets remember the trace and the job that came last. */
export class Durations<Label extends string> {
  constructor(private readonly histogram: Histogram<Label>) {}

  observe(seconds: number, labels: Partial<Record<Label, string>> = {}, { traceId, jobId } = currentContext()): void {
    const ids = { ...(traceId === undefined ? {} : { trace_id: traceId }), ...(jobId === undefined ? {} : { job_id: jobId }) };
    // Its type allows only the labels of the histogram itself; they are free.
    const example = Object.keys(ids).length === 0 ? {} : { exemplarLabels: ids as Partial<Record<Label, string>> };
    this.histogram.observe({ labels, value: seconds, ...example });
  }
}

/** What Prometheus is told: each part of the service adds its own measurements. */
@Injectable()
export class MetricsRegistry {
  // Examples can be kept in a registry of this kind only.
  private readonly registry = new OpenRegistry(contentTypes.openMetrics);

  /** Counters, whose names prom-client shortens for OpenMetrics and leaves so. */
  private readonly counterNames = new Map<{ name?: string }, string>();
  private turn: Promise<unknown> = Promise.resolve();

  contentType(format: MetricsFormat): string {
    return contentTypes[format];
  }

  /** What is mirrored is read in one turn of the event loop, so that it adds up. One scrape after the other: a registry has one format. */
  text(format: MetricsFormat): Promise<string> {
    const scrape = this.turn.then(async () => {
      this.registry.setContentType(contentTypes[format]);
      try {
        return await this.registry.metrics();
      } finally {
        for (const [counter, name] of this.counterNames) counter.name = name;
      }
    });
    this.turn = scrape.catch(() => undefined);
    return scrape;
  }

  counter<Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> {
    return this.named(new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] }), name);
  }

  histogram<Label extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Label[] = [],
  ): Durations<Label> {
    const registers = [this.registry];
    return new Durations(
      new Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers, enableExemplars: true }),
    );
  }

  /** A count that somebody keeps anyway, read when Prometheus asks. */
  mirrorCount(name: string, help: string, read: () => Sampled, labelNames: readonly string[] = []): void {
    const counter = new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [labels, value] of samplesOf(read())) this.inc(labels, value);
      },
    });
    this.named(counter, name);
  }

  /** A level that somebody knows anyway, read when Prometheus asks. */
  mirrorLevel(name: string, help: string, read: () => Sampled, labelNames: readonly string[] = []): void {
    new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [labels, value] of samplesOf(read())) this.set(labels, value);
      },
    });
  }

  private named<Label extends string>(counter: Counter<Label>, name: string): Counter<Label> {
    this.counterNames.set(counter as { name?: string }, name);
    return counter;
  }
}

function samplesOf(sampled: Sampled): readonly (readonly [Labels, number])[] {
  return typeof sampled === 'number' ? [[{}, sampled]] : sampled;
}
