import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export type Labels = Readonly<Record<string, string>>;

/** One sample, or one for each set of labels. */
export type Sampled = number | readonly (readonly [Labels, number])[];

/** Seconds of work that may take from a moment to an hour. */
export const longSeconds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600];

/** Seconds of what is usually over in milliseconds. */
export const shortSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What Prometheus is told: each part of the service adds its own measurements. */
@Injectable()
export class MetricsRegistry {
  private readonly registry = new Registry();

  get contentType(): string {
    return this.registry.contentType;
  }

  /** In the text format of Prometheus. What is mirrored is read in one turn of the event loop, so that it adds up. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  counter<Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  histogram<Label extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Label[] = [],
  ): Histogram<Label> {
    return new Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers: [this.registry] });
  }

  /** A count that somebody keeps anyway, read when Prometheus asks. */
  mirrorCount(name: string, help: string, read: () => Sampled, labelNames: readonly string[] = []): void {
    new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [labels, value] of samplesOf(read())) this.inc(labels, value);
      },
    });
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
}

function samplesOf(sampled: Sampled): readonly (readonly [Labels, number])[] {
  return typeof sampled === 'number' ? [[{}, sampled]] : sampled;
}
