import type { EngineTimings, Progress } from '@app/engine';
import { parentSpan, traced, tracedPast } from '@app/observability';
import type { Job } from './job.js';

/** Milliseconds since the epoch, finer than a date's and never backwards. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** A run of a job, and the wait before it, in the trace of the request that brought the job: also when that was answered long ago. */
export function tracedRun<T>(job: Job, run: () => Promise<T>): Promise<T> {
  const parent = parentSpan(job.order.traceparent);
  const { width, height, numInferenceSteps, numImages } = job.request.generate;
  const ofJob = { 'qwen_image.job_id': job.id, 'qwen_image.attempt': job.attempt };
  const began = now();
  tracedPast('job.wait', [began - job.queueMs, began], { parent, attributes: ofJob });
  const ofRequest = {
    'qwen_image.kind': job.request.kind,
    'qwen_image.width': width,
    'qwen_image.height': height,
    'qwen_image.steps': numInferenceSteps,
    'qwen_image.images': numImages,
  };
  return traced('job.run', { parent, attributes: { ...ofJob, ...ofRequest } }, run);
}

export function tracedStore(job: Job, store: () => Promise<void>): Promise<void> {
  const attributes = { 'qwen_image.job_id': job.id, 'qwen_image.state': job.state };
  return traced('job.store', { parent: parentSpan(job.order.traceparent), attributes }, store);
}

interface ToldStep {
  image: number;
  step: number;
  at: number;
}

/**
 * The engine's stages and steps as spans: made when the run is over, from its own timings and from when its progress arrived. The
 * engine encodes, then denoises picture after picture, then decodes them all.
 */
export class StageSpans {
  private readonly began = now();
  private readonly steps: ToldStep[] = [];
  private encodedAt: number | null = null;

  told({ stage, image, step }: Progress): void {
    if (stage === 'encode') this.encodedAt = now();
    else if (stage === 'denoise') this.steps.push({ image, step, at: now() });
  }

  completed({ encodeMs, denoiseMs, decodeMs }: EngineTimings): void {
    const [encoded, denoised] = [this.began + encodeMs, this.began + encodeMs + denoiseMs];
    tracedPast('engine.encode', [this.began, encoded]);
    this.denoise(encoded, denoised);
    tracedPast('engine.decode', [denoised, denoised + decodeMs]);
  }

  /** What is known of a run that failed. */
  failed(): void {
    if (this.encodedAt === null) return;
    tracedPast('engine.encode', [this.began, this.encodedAt]);
    const last = this.steps.at(-1);
    if (last) this.denoise(this.encodedAt, last.at);
  }

  private denoise(begin: number, end: number): void {
    const parent = tracedPast('engine.denoise', [begin, end]);
    let before = begin;
    for (const { image, step, at } of this.steps) {
      const attributes = { 'qwen_image.image': image, 'qwen_image.step': step };
      tracedPast('engine.denoise.step', [Math.min(before, at), at], { parent, attributes });
      before = at;
    }
  }
}
