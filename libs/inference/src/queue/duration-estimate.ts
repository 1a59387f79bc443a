import { EngineClient } from '@app/engine';
import { Inject, Injectable } from '@nestjs/common';
import type { Job } from '../job.js';
import type { JobRequest, JobTimings } from '../job.types.js';

/** How much one measurement moves what is known of a size. */
const weight = 0.3;
/** Sizes that are remembered: more than a service is usually asked for, few enough to look through. */
const maxSizes = 64;
/** What is refused is not measured: a measurement refuses nothing when it is older than this, so that a slow run of once does not do so for ever. */
const refusesForMs = 60_000;

interface Cost {
  /** Milliseconds of one image through the transformer once. */
  passMs: number;
  /** Milliseconds of everything else of one image, and of the prompts. */
  restMs: number;
}

interface Learned {
  pixels: number;
  likely: Cost;
  /** Of the fastest run, which counts less with every later one. */
  least: Cost;
  /** On the clock of this process. */
  measuredAt: number;
}

/** How long a job is likely to run, from those that have ended: by size, steps, guidance and count. */
@Injectable()
export class DurationEstimate {
  /** By pixels of one image, the least recently learned first. */
  private readonly learned = new Map<number, Learned>();
  private meanMs: number | null = null;
  /** Fingerprint of the model that these are the times of. */
  private model: string | null = null;

  constructor(@Inject(EngineClient) engine: Pick<EngineClient, 'onChange'>) {
    engine.onChange(({ model }) => model && this.beginWith(model.sha256));
  }

  record(request: JobRequest, { denoiseMs }: Pick<JobTimings, 'denoiseMs'>, runMs: number): void {
    const pixels = pixelsOf(request);
    const { numImages } = request.generate;
    const measured = { passMs: denoiseMs / passesOf(request), restMs: Math.max(0, runMs - denoiseMs) / numImages };
    const before = this.learned.get(pixels) ?? { likely: measured, least: measured };
    this.learned.delete(pixels);
    this.learned.set(pixels, {
      pixels,
      likely: eachOf(before.likely, measured, moved),
      least: eachOf(before.least, measured, (least, ms) => Math.min(ms, moved(least, ms))),
      measuredAt: performance.now(),
    });
    const [oldest] = this.learned.keys();
    if (this.learned.size > maxSizes && oldest !== undefined) this.learned.delete(oldest);
    this.meanMs = this.meanMs === null ? runMs : moved(this.meanMs, runMs);
  }

  /** Milliseconds of a run; null before anything was measured. */
  runMs(request: JobRequest): number | null {
    const cost = this.likelyCost(pixelsOf(request));
    return cost && total(cost, request);
  }

  /** Milliseconds that a run is likely to take at least: what is refused for its length must not be refused for a guess. */
  leastMs(request: JobRequest): number {
    const pixels = pixelsOf(request);
    const isFresh = ({ measuredAt }: Learned) => performance.now() - measuredAt < refusesForMs;
    const known = this.learned.get(pixels);
    if (known) return isFresh(known) ? total(known.least, request) : 0;
    const { below, above } = neighbours([...this.learned.values()].filter(isFresh), pixels);
    const bounds = [0];
    // Time grows with the pixels, and no faster than their square.
    if (below) bounds.push(total(below.least, request));
    if (above) bounds.push(total(scaled(above.least, (pixels / above.pixels) ** 2), request));
    return Math.max(...bounds);
  }

  /** What is left of a running job, in whole milliseconds; null when nothing tells. */
  remainingMs({ request, runMs, progress }: Pick<Job, 'request' | 'runMs' | 'progress'>): number | null {
    const isKnown = this.learned.has(pixelsOf(request));
    const projected = isKnown ? null : projectedMs(request, runMs, progress);
    const totalMs = projected ?? this.runMs(request);
    return totalMs === null ? null : Math.max(0, Math.round(totalMs - runMs));
  }

  /** Milliseconds of a run of no matter what; 0 before anything was measured. */
  usualMs(): number {
    return this.meanMs ?? 0;
  }

  /** Another model takes other times; the same one in a new host does not. */
  private beginWith(model: string): void {
    if (this.model !== null && this.model !== model) {
      this.learned.clear();
      this.meanMs = null;
    }
    this.model = model;
  }

  private likelyCost(pixels: number): Cost | null {
    const known = this.learned.get(pixels);
    if (known) return known.likely;
    const { below, above } = neighbours(this.learned.values(), pixels);
    if (below && above) return between(below, above, pixels);
    // What a size costs beside its pixels is not known from one size: a larger one is likely to take less than this.
    const nearest = below ?? above;
    return nearest ? scaled(nearest.likely, pixels / nearest.pixels) : null;
  }
}

/** The sizes next to one that is none of them. */
function neighbours(sizes: Iterable<Learned>, pixels: number): { below: Learned | undefined; above: Learned | undefined } {
  let [below, above]: (Learned | undefined)[] = [];
  for (const learned of sizes) {
    if (learned.pixels < pixels) {
      if (!below || learned.pixels > below.pixels) below = learned;
    } else if (!above || learned.pixels < above.pixels) above = learned;
  }
  return { below, above };
}

function total({ passMs, restMs }: Cost, request: JobRequest): number {
  return passMs * passesOf(request) + restMs * request.generate.numImages;
}

function eachOf(a: Cost, b: Cost, mix: (a: number, b: number) => number): Cost {
  return { passMs: mix(a.passMs, b.passMs), restMs: mix(a.restMs, b.restMs) };
}

function scaled({ passMs, restMs }: Cost, factor: number): Cost {
  return { passMs: passMs * factor, restMs: restMs * factor };
}

/** On the straight line between two sizes. */
function between(below: Learned, above: Learned, pixels: number): Cost {
  const share = (pixels - below.pixels) / (above.pixels - below.pixels);
  return eachOf(below.likely, above.likely, (from, to) => from + share * (to - from));
}

/** Of a size that was never drawn: by how far it has come. */
function projectedMs(request: JobRequest, runMs: number, progress: Job['progress']): number | null {
  if (progress?.stage !== 'denoise' || progress.step === 0) return null;
  const { image, step, total } = progress;
  return (runMs * request.generate.numImages * total) / (image * total + step);
}

function moved(from: number, to: number): number {
  return from + weight * (to - from);
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
