import { Injectable } from '@nestjs/common';
import type { Job } from '../job.js';
import type { JobRequest, JobTimings } from '../job.types.js';

/** How much one measurement moves what is known of a size. */
const weight = 0.3;
/** Sizes that are remembered: more than a service is usually asked for, few enough to look through. */
const maxSizes = 64;

interface Learned {
  pixels: number;
  /** Milliseconds of one image through the transformer once. */
  passMs: number;
  /** Milliseconds of everything else of one image, and of the prompts. */
  restMs: number;
}

/** How long a job is likely to run, from those that have ended: by size, steps, guidance and count. */
@Injectable()
export class DurationEstimate {
  /** By pixels of one image, the least recently learned first. */
  private readonly learned = new Map<number, Learned>();
  private meanMs: number | null = null;

  record(request: JobRequest, { denoiseMs }: Pick<JobTimings, 'denoiseMs'>, runMs: number): void {
    const pixels = pixelsOf(request);
    const { numImages } = request.generate;
    const measured = { pixels, passMs: denoiseMs / passesOf(request), restMs: Math.max(0, runMs - denoiseMs) / numImages };
    const before = this.learned.get(pixels) ?? measured;
    this.learned.delete(pixels);
    this.learned.set(pixels, {
      pixels,
      passMs: moved(before.passMs, measured.passMs),
      restMs: moved(before.restMs, measured.restMs),
    });
    const [oldest] = this.learned.keys();
    if (this.learned.size > maxSizes && oldest !== undefined) this.learned.delete(oldest);
    this.meanMs = this.meanMs === null ? runMs : moved(this.meanMs, runMs);
  }

  /** Milliseconds of a run; null before anything was measured. */
  runMs(request: JobRequest): number | null {
    const pixels = pixelsOf(request);
    const nearest = this.nearest(pixels);
    if (!nearest) return null;
    // Time grows at least with the pixels; what more it grows with is learned when such a size has been drawn.
    const scale = pixels / nearest.pixels;
    return scale * (nearest.passMs * passesOf(request) + nearest.restMs * request.generate.numImages);
  }

  /** What is left of a running job, in whole milliseconds; null when nothing tells. */
  remainingMs({ request, runMs, progress }: Pick<Job, 'request' | 'runMs' | 'progress'>): number | null {
    const totalMs = this.runMs(request) ?? projectedMs(request, runMs, progress);
    return totalMs === null ? null : Math.max(0, Math.round(totalMs - runMs));
  }

  /** Milliseconds of a run of no matter what; 0 before anything was measured. */
  usualMs(): number {
    return this.meanMs ?? 0;
  }

  private nearest(pixels: number): Learned | undefined {
    let best = this.learned.get(pixels);
    if (best) return best;
    for (const learned of this.learned.values()) {
      if (!best || distance(learned.pixels, pixels) < distance(best.pixels, pixels)) best = learned;
    }
    return best;
  }
}

/** The first job of a server: by how far it has come. */
function projectedMs(request: JobRequest, runMs: number, progress: Job['progress']): number | null {
  if (progress?.stage !== 'denoise' || progress.step === 0) return null;
  const { image, step, total } = progress;
  return (runMs * request.generate.numImages * total) / (image * total + step);
}

function moved(from: number, to: number): number {
  return from + weight * (to - from);
}

/** Between sizes what counts is how many times one is the other. */
function distance(a: number, b: number): number {
  return Math.abs(Math.log(a / b));
}

function pixelsOf({ generate: { width, height } }: JobRequest): number {
  return width * height;
}

/** Times that an image's tokens go through the transformer, over all images. */
function passesOf({ generate: { numInferenceSteps, numImages, trueCfgScale, strength = 1 } }: JobRequest): number {
  // diffusers' rule for the steps of an image-to-image run: what is skipped is rounded down.
  const steps = Math.max(1, numInferenceSteps - Math.floor(numInferenceSteps - numInferenceSteps * strength));
  return steps * numImages * (trueCfgScale > 1 ? 2 : 1);
}
