import type { GenerateRequest, MemoryModel, VaeMemory } from './engine.types.js';
import { textToImageTemplate } from './prompt/prompt-templates.js';

export interface Size {
  width: number;
  height: number;
}

/** What a request may ask for at all: `limits` of the configuration and the model's size multiple. */
export interface SizeLimits {
  sizeMultiple: number;
  minSide: number;
  maxSide: number;
  maxPixels: number;
}

/** The parts of a request that memory depends on. */
export type RequestShape = Pick<
  GenerateRequest,
  | 'prompt'
  | 'negativePrompt'
  | 'width'
  | 'height'
  | 'numInferenceSteps'
  | 'trueCfgScale'
  | 'numImages'
  | 'maxSequenceLength'
  | 'previews'
> & {
  /** Size of the start picture. */
  image?: Size | undefined;
};

/** A preview has half the picture's side. */
const previewShare = 0.25;

/** Bytes that the engine holds at the peak of `request`: never less than it takes, and not many times more. */
export function memoryNeeded(request: RequestShape, memory: MemoryModel): number {
  const pixels = request.width * request.height;
  const prompts = request.trueCfgScale > 1 ? [request.prompt, request.negativePrompt] : [request.prompt];
  const tokens = prompts.map(mostTokens);
  const textRows = sum(tokens.map((count) => Math.min(count, request.maxSequenceLength)));

  const { textEncoder, transformer, vaeEncoder, vaeDecoder } = memory;
  const encodeText = textEncoder.weights + textEncoder.perToken * Math.max(...tokens);
  const encodePicture = request.image ? vaeBytes(vaeEncoder, pixels, memory) : 0;
  const steps = Math.min(request.numInferenceSteps, transformer.stepsAtOnce);
  const denoise =
    transformer.perStep * steps +
    (transformer.perPixel + transformer.perBranchPixel * prompts.length) * pixels +
    transformer.perTextToken * textRows;
  // What a preview finds in memory is less than what a step takes; the transformer's weights are not there with the VAE's.
  const preview = request.previews ? denoise + vaeBytes(vaeDecoder, pixels * previewShare, memory) : 0;
  const decode = vaeBytes(vaeDecoder, pixels, memory);

  const { perInputPixel, perPicturePixel, perTextToken } = memory.request;
  const held =
    perPicturePixel * pixels * request.numImages +
    perTextToken * textRows +
    (request.image ? perInputPixel * request.image.width * request.image.height : 0);
  return Math.ceil(memory.resident + held + Math.max(encodeText, encodePicture, transformer.weights + denoise, preview, decode));
}

export function fits(request: RequestShape, memory: MemoryModel): boolean {
  return memoryNeeded(request, memory) <= memory.budget;
}

/**
 * The largest size of the request's aspect ratio, as near as the multiple allows, at which the request fits; null when not even the
 * smallest one does. It is never larger than what was asked for.
 */
export function largestThatFits(request: RequestShape, memory: MemoryModel, limits: SizeLimits): Size | null {
  const { sizeMultiple } = limits;
  const longSide = Math.max(request.width, request.height);
  for (let side = Math.min(longSide, limits.maxSide); side >= sizeMultiple; side -= sizeMultiple) {
    const scale = side / longSide;
    const size = {
      width: multipleNear(request.width * scale, sizeMultiple),
      height: multipleNear(request.height * scale, sizeMultiple),
    };
    if (Math.min(size.width, size.height) < limits.minSide) return null;
    if (size.width * size.height <= limits.maxPixels && fits({ ...request, ...size }, memory)) return size;
  }
  return null;
}

function vaeBytes({ weights, perWorkPixel, perPixel }: VaeMemory, pixels: number, { tiling }: MemoryModel): number {
  const tiled = tiling.abovePixels !== null && pixels > tiling.abovePixels;
  return weights + perWorkPixel * (tiled ? Math.min(pixels, tiling.tilePixels) : pixels) + perPixel * pixels;
}

/** A token of a byte-level vocabulary stands for a byte at least. */
function mostTokens(prompt: string): number {
  const { dropIndex, suffix, maxTokens } = textToImageTemplate;
  const around = dropIndex + suffix.length;
  const asSent = around + Buffer.byteLength(prompt);
  // Composing takes a time that grows with the square of a run of combining marks: only what is short is composed.
  if (asSent >= maxTokens) return maxTokens;
  // The tokenizer composes characters first, which can lengthen them.
  return Math.min(maxTokens, Math.max(asSent, around + Buffer.byteLength(prompt.normalize('NFC'))));
}

function multipleNear(side: number, multiple: number): number {
  return Math.max(multiple, Math.floor(side / multiple + 1e-9) * multiple);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
