import { EngineClient } from '@app/engine';
import { endStates, InferenceService } from '@app/inference';
import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry } from 'prom-client';
import type { ErrorCode } from '../errors/error-answers.js';

/**
 * What Prometheus is told. Values are read when it asks, all in one turn of the event loop, from those who count anyway: so the
 * jobs of one answer always add up.
 */
@Injectable()
export class ServiceMetrics {
  private readonly registry = new Registry();
  private readonly rejected = new Counter({
    name: 'qwen_image_requests_rejected_total',
    help: 'Requests for pictures that were refused and became no job, by error code',
    labelNames: ['reason'],
    registers: [this.registry],
  });

  constructor(
    private readonly inference: InferenceService,
    engine: EngineClient,
  ) {
    this.mirrorJobs();
    this.mirrorCount(
      'qwen_image_engine_restarts_total',
      'Engine hosts started after the first one',
      () => engine.status().restarts,
    );
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  countRefusal(reason: ErrorCode): void {
    this.rejected.inc({ reason });
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  private mirrorJobs(): void {
    const { inference, registry } = this;
    this.mirrorCount('qwen_image_jobs_accepted_total', 'Jobs that were accepted', () => inference.tally().accepted);
    new Counter({
      name: 'qwen_image_jobs_ended_total',
      help: 'Jobs that have ended, by how',
      labelNames: ['status'],
      registers: [registry],
      collect() {
        const { ended } = inference.tally();
        this.reset();
        for (const status of endStates) this.inc({ status }, ended[status]);
      },
    });
    this.mirrorLevel('qwen_image_jobs_pending', 'Jobs that wait', () => inference.depth().pending);
    this.mirrorLevel('qwen_image_jobs_running', 'Jobs that run', () => inference.depth().running);
  }

  private mirrorCount(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  private mirrorLevel(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }
}
