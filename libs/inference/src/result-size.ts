import type { Job } from './job.js';
import { ServiceError } from './service.error.js';

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

/** @throws ServiceError REQUEST_TOO_LARGE when it could not be stored though no other job were: another try would be in vain */
export function assertStorable({ request }: Job, neededBytes: number, maxBytes: number): void {
  if (neededBytes <= maxBytes) return;
  const { width, height, numImages } = request.generate;
  const count = numImages === 1 ? 'one image' : `${numImages} images`;
  const less =
    request.inputs.length === 0 ? 'a smaller size or fewer images' : 'a smaller size, fewer images or a smaller start picture';
  const allowed = `ask for ${less}, or the operator for a larger jobs.maxBytes`;
  const needed = `needs ${neededBytes} bytes to be stored with its results, and all jobs together may have ${maxBytes}`;
  throw new ServiceError('REQUEST_TOO_LARGE', `${count} of ${width}x${height} ${needed}; ${allowed}`, {
    faults: [{ field: 'width', message: `and height ${width}x${height} need more room than all jobs may have; ${allowed}` }],
  });
}
