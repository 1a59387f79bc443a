import { configTokens, type LimitsConfig } from '@app/config';
import { EngineClient, fits, largestThatFits, memoryNeeded, type RequestShape } from '@app/engine';
import type { ImageFile } from '@app/image-processing';
import { Inject, Injectable } from '@nestjs/common';
import type { JobOrder, JobRequest } from './job.types.js';
import { ServiceError } from './service.error.js';

const mebibyte = 1024 * 1024;

/** Refuses what the device, or `model.memoryBudget`, can never hold. */
@Injectable()
export class Admission {
  constructor(
    private readonly engine: EngineClient,
    @Inject(configTokens.limits) private readonly limits: Pick<LimitsConfig, 'minSide' | 'maxSide' | 'maxPixels'>,
  ) {}

  /** @throws ServiceError REQUEST_TOO_LARGE, which names the largest size that fits */
  assertFits({ generate }: JobRequest, files: readonly ImageFile[], { previews }: Pick<JobOrder, 'previews'>): void {
    const { model } = this.engine.status();
    if (!model) return;
    const [file] = files;
    const shape: RequestShape = { ...generate, previews, image: file?.size };
    if (fits(shape, model.memory)) return;
    const { width, height, numImages } = generate;
    const largest = largestThatFits(shape, model.memory, { ...this.limits, sizeMultiple: model.sizeMultiple });
    const count = numImages === 1 ? 'one image' : `${numImages} images`;
    const needed = `needs about ${inMebibytes(memoryNeeded(shape, model.memory))} of ${inMebibytes(model.memory.budget)} MiB of memory`;
    const allowed = largest
      ? `the largest size of this shape that fits is ${largest.width}x${largest.height}`
      : 'no size of this shape fits: ask for fewer images or a shorter prompt';
    throw new ServiceError('REQUEST_TOO_LARGE', `${count} of ${width}x${height} ${needed}; ${allowed}`, {
      faults: [{ field: 'width', message: `and height ${width}x${height} need more memory than there is; ${allowed}` }],
    });
  }
}

function inMebibytes(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}
