import type { EngineTimings, GenerateRequest, Stage } from '../engine.types.js';

interface Learned {
  msPerUnit: number;
  /** Of the largest pictures that were measured. */
  pixels: number;
}

/** How much one measurement moves the estimate. */
const weight = 0.3;
/** Text around each prompt. */
const templateChars = 200;
/** A character costs the released text encoder about what so many pixels cost the VAE. */
const pixelsPerChar = 350;

/** A preview has a quarter of the picture's pixels. */
const previewShare = 0.25;

/** How long each stage of a job is likely to take, from those that have ended: by size, steps and guidance. */
export class StageEstimate {
  private readonly learned = new Map<Stage, Learned>();

  record(request: GenerateRequest, { encodeMs, denoiseMs, decodeMs }: EngineTimings): void {
    this.learn('encode', request, encodeMs);
    this.learn('denoise', request, denoiseMs);
    this.learn('decode', request, decodeMs);
  }

  /** Milliseconds; null before anything was measured. */
  ms(stage: Stage, request: GenerateRequest): number | null {
    const learned = this.learned.get(stage);
    if (!learned) return null;
    // Attention grows with the square of the pixels: beyond the sizes that were seen, all of the time is taken to.
    const beyond = Math.max(1, pixelsOf(request) / learned.pixels);
    return learned.msPerUnit * unitsOf(stage, request) * beyond;
  }

  private learn(stage: Stage, request: GenerateRequest, ms: number): void {
    const measured = ms / unitsOf(stage, request);
    const pixels = pixelsOf(request);
    const before = this.learned.get(stage) ?? { msPerUnit: measured, pixels };
    this.learned.set(stage, {
      msPerUnit: before.msPerUnit + weight * (measured - before.msPerUnit),
      pixels: Math.max(before.pixels, pixels),
    });
  }
}

function pixelsOf({ width, height }: GenerateRequest): number {
  return width * height;
}

/** What the time of a stage grows with. */
function unitsOf(stage: Stage, request: GenerateRequest): number {
  const { prompt, negativePrompt, numInferenceSteps, numImages, trueCfgScale, strength = 1, previews = 0 } = request;
  const guided = trueCfgScale > 1;
  const pixels = pixelsOf(request);
  switch (stage) {
    case 'encode': {
      const text = templateChars + prompt.length + (guided ? templateChars + negativePrompt.length : 0);
      return text * pixelsPerChar + (request.image ? pixels : 0);
    }
    case 'denoise':
      return pixels * numImages * (guided ? 2 : 1) * Math.max(1, numInferenceSteps * strength);
    case 'decode':
      return pixels * numImages * (1 + previews * previewShare);
  }
}
