import type { Job } from './job.js';

const bytesPerPixel = 3;
/** Prompts stand in a file twice, a character of them as up to six bytes. */
const bytesPerChar = 12;
const otherBytes = 64 * 1024;

/** Files of a job's result take no more: a PNG of noise is as large as its pixels, a preview has a quarter of them. */
export function largestResult({ request: { generate }, order: { previews } }: Job): number {
  const { width, height, numImages, prompt, negativePrompt } = generate;
  const pictureBytes = (1 + previews / 4) * width * height * bytesPerPixel;
  return Math.ceil(numImages * (pictureBytes + bytesPerChar * (prompt.length + negativePrompt.length) + otherBytes));
}
