import { configTokens, type LimitsConfig } from '@app/config';
import { EngineClient, fits, largestThatFits, memoryNeeded, type ModelInfo, type RequestShape } from '@app/engine';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { JobOrder, JobRequest } from './job.types.js';
import { ServiceError } from './service.error.js';

const mebibyte = 1024 * 1024;
const remedy = 'the server needs more memory, or a larger model.memoryBudget';

type Limits = Pick<LimitsConfig, 'minSide' | 'maxSide' | 'maxPixels' | 'maxSteps'>;

/** Refuses what the device, or `model.memoryBudget`, can never hold. */
@Injectable()
export class Admission {
  private readonly logger = new Logger(Admission.name);
  private refusedAll = false;

  constructor(
    private readonly engine: EngineClient,
    @Inject(configTokens.limits) private readonly limits: Limits,
  ) {
    engine.onChange(() => this.note());
  }

  /** Why the model that is loaded takes no request at all; null: it takes some, or there is none. */
  get refusalOfAll(): string | null {
    const { model } = this.engine.status();
    if (!model) return null;
    const { minSteps } = model;
    const { maxSteps } = this.limits;
    if (minSteps > maxSteps) return `limits.maxSteps (${maxSteps}) is below the ${minSteps} steps that the model needs at least`;
    if (fits(smallestRequest(model, this.limits), model.memory)) return null;
    return `no picture fits beside the model: ${remedy}`;
  }

  /**
   * Once more before a run: another model may have been loaded since the request was accepted.
   *
   * @throws ServiceError UNSUPPORTED_BY_MODEL, and as assertFits
   */
  assertStillFits(request: JobRequest, order: Pick<JobOrder, 'previews'>, image?: RequestShape['image']): void {
    const { model, choice } = this.engine.status();
    if (!model) return;
    const { width, height, numInferenceSteps } = request.generate;
    const refuse = (why: string) => {
      throw new ServiceError('UNSUPPORTED_BY_MODEL', `${choice.name}, which was loaded while the request waited, ${why}`);
    };
    const { sizeMultiple, minSteps } = model;
    if (width % sizeMultiple !== 0 || height % sizeMultiple !== 0) {
      refuse(`draws sizes that are multiples of ${sizeMultiple}, not ${width}x${height}`);
    }
    if (numInferenceSteps < minSteps) refuse(`needs ${minSteps} steps at least, not ${numInferenceSteps}`);
    this.assertFits(request, order, image);
  }

  /** @throws ServiceError REQUEST_TOO_LARGE, which names the largest size that fits; `image`: size of the uploaded picture */
  assertFits({ generate }: JobRequest, { previews }: Pick<JobOrder, 'previews'>, image?: RequestShape['image']): void {
    const { model } = this.engine.status();
    if (!model) return;
    const shape: RequestShape = { ...generate, previews, image };
    if (fits(shape, model.memory)) return;
    if (image && fits({ ...shape, image: undefined }, model.memory)) throw tooLargeBeside(image);
    const { width, height, numImages } = generate;
    const bounds = { ...this.limits, sizeMultiple: model.sizeMultiple };
    const largest = largestThatFits(shape, model.memory, bounds);
    const least = { ...shape, prompt: '', negativePrompt: '', numImages: 1, previews: 0, image: undefined };
    const count = numImages === 1 ? 'one image' : `${numImages} images`;
    const needed = `needs about ${inMebibytes(memoryNeeded(shape, model.memory))} of ${inMebibytes(model.memory.budget)} MiB of memory`;
    const allowed = largest
      ? `the largest size of this shape that fits is ${largest.width}x${largest.height}`
      : largestThatFits(least, model.memory, bounds)
        ? 'no size of this shape fits: ask for fewer images or a shorter prompt'
        : `no picture of this shape fits beside the model: ${remedy}`;
    throw new ServiceError('REQUEST_TOO_LARGE', `${count} of ${width}x${height} ${needed}; ${allowed}`, {
      faults: [{ field: 'width', message: `and height ${width}x${height} need more memory than there is; ${allowed}` }],
    });
  }

  /** Once when it becomes so, and once when it is over; a model that is away for a while says nothing of it. */
  private note(): void {
    const { model, choice } = this.engine.status();
    if (!model) return;
    const { refusalOfAll } = this;
    const refusesAll = refusalOfAll !== null;
    if (refusesAll === this.refusedAll) return;
    this.refusedAll = refusesAll;
    if (refusesAll) this.logger.error(`${choice.name} can draw nothing, the service is not ready: ${refusalOfAll}`);
    else this.logger.log(`${choice.name} can draw again`);
  }
}

/** What needs the least memory of all that may be asked for. */
function smallestRequest({ sizeMultiple, minSteps }: ModelInfo, { minSide }: Pick<LimitsConfig, 'minSide'>): RequestShape {
  const side = Math.ceil(minSide / sizeMultiple) * sizeMultiple;
  const prompts = { prompt: ' ', negativePrompt: '', maxSequenceLength: 1 };
  return { ...prompts, width: side, height: side, numInferenceSteps: minSteps, trueCfgScale: 1, numImages: 1, previews: 0 };
}

/** Without its start picture the request would fit. */
function tooLargeBeside({ width, height }: NonNullable<RequestShape['image']>): ServiceError {
  const message = `of ${width}x${height} takes more memory than is left beside the picture to be drawn: send a smaller one`;
  return new ServiceError('REQUEST_TOO_LARGE', `a start picture ${message}`, { faults: [{ field: 'image', message }] });
}

function inMebibytes(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}
