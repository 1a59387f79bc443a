import { longSeconds, MetricsRegistry, shortSeconds } from '@app/observability';
import type { Progress } from '@app/engine';
import { Injectable } from '@nestjs/common';
import type { Job } from './job.js';
import type { JobResult } from './job.types.js';

/** What jobs took and gave, told by those who run and store them. */
@Injectable()
export class JobMetrics {
  private readonly wait;
  private readonly run;
  private readonly stage;
  private readonly steps;
  private readonly images;
  private readonly outOfMemory;
  private readonly sync;

  constructor(metrics: MetricsRegistry) {
    this.wait = metrics.histogram('qwen_image_job_wait_seconds', 'What jobs waited before their latest run', longSeconds);
    this.run = metrics.histogram(
      'qwen_image_job_run_seconds',
      'What the latest runs of jobs took, by how the jobs ended',
      longSeconds,
      ['status'],
    );
    this.stage = metrics.histogram('qwen_image_stage_seconds', 'What the stages of completed jobs took', longSeconds, ['stage']);
    this.steps = metrics.counter('qwen_image_denoise_steps_total', 'Denoising steps that were done, of all jobs');
    this.images = metrics.counter('qwen_image_images_total', 'Pictures of completed jobs');
    this.outOfMemory = metrics.counter('qwen_image_out_of_memory_total', 'Jobs that failed because the device was full');
    this.sync = metrics.histogram(
      'qwen_image_job_sync_seconds',
      'What durable changes of jobs waited for the disk',
      shortSeconds,
    );
  }

  /** A durable change has waited so long for the disk. */
  synced(ms: number): void {
    this.sync.observe(ms / 1000);
  }

  /** `before` is what the same run told the last time; null: nothing yet. Steps may be told several at once. */
  progressed(before: Progress | null, now: Progress): void {
    if (now.stage !== 'denoise') return;
    const isSameImage = before?.stage === 'denoise' && before.image === now.image;
    this.steps.inc(Math.max(0, now.step - (isSameImage ? before.step : 0)));
  }

  /** Once for each job that has ended. */
  ended(job: Job, result: JobResult | null): void {
    // One that never ran is not told of: it did not wait for a run, but in vain.
    if (job.startedAt === null) return;
    this.wait.observe(job.queueMs / 1000);
    this.run.observe(job.runMs / 1000, { status: job.state });
    if (job.error?.code === 'OUT_OF_MEMORY') this.outOfMemory.inc();
    if (!result) return;
    this.images.inc(result.images.length);
    const { encodeMs, denoiseMs, decodeMs } = result.timings;
    this.stage.observe(encodeMs / 1000, { stage: 'encode' });
    this.stage.observe(denoiseMs / 1000, { stage: 'denoise' });
    this.stage.observe(decodeMs / 1000, { stage: 'decode' });
  }
}
