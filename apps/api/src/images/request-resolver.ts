import { configTokens, type LimitsConfig } from '@app/config';
import { EngineClient, type ModelInfo } from '@app/engine';
import { ImageDecoder, type ImageFile, type ImageFormat } from '@app/image-processing';
import { engineUnavailable, type JobRequest } from '@app/inference';
import { Inject, Injectable } from '@nestjs/common';
import { randomInt } from 'node:crypto';
import { invalidFields } from '../fields/invalid-fields.js';
import type { ImageToImageDto } from './image-to-image.dto.js';
import { isWithin, sizeLikeInput, type Size } from './picture-size.js';
import type { TextToImageDto } from './text-to-image.dto.js';

const defaults = { strength: 0.6, maxSequenceLength: 512 };
const defaultQuality = 90;
/** Random seeds stay short enough to be read out; given ones may be as large as the contract says. */
const randomSeeds = 2 ** 32;

/** Fields that are right → the request with every default resolved. @throws ServiceError ENGINE_UNAVAILABLE: no model is loaded */
@Injectable()
export class RequestResolver {
  constructor(
    private readonly engine: EngineClient,
    private readonly decoder: ImageDecoder,
    @Inject(configTokens.limits) private readonly limits: LimitsConfig,
  ) {}

  textToImage(dto: TextToImageDto, format: ImageFormat): JobRequest {
    const model = this.model();
    return { ...this.common(dto, model, format, givenSize(dto) ?? model.defaults), kind: 'text-to-image', inputs: [] };
  }

  /** @throws ImageError when the file's header is already wrong */
  async imageToImage(dto: ImageToImageDto, format: ImageFormat, image: ImageFile): Promise<JobRequest> {
    const model = this.model();
    const header = await this.decoder.readHeader(image);
    image.size = { width: header.width, height: header.height };
    const size = givenSize(dto) ?? this.inputSize(header, model);
    const common = this.common(dto, model, format, size);
    const generate = { ...common.generate, strength: dto.strength ?? defaults.strength };
    return { ...common, generate, kind: 'image-to-image', inputs: [image.field] };
  }

  private common(dto: TextToImageDto, model: ModelInfo, format: ImageFormat, size: Size) {
    const steps = dto.num_inference_steps ?? model.defaults.numInferenceSteps;
    this.holdToLimits(size, steps);
    return {
      generate: {
        prompt: dto.prompt,
        negativePrompt: dto.negative_prompt ?? model.defaults.negativePrompt,
        width: size.width,
        height: size.height,
        numInferenceSteps: steps,
        trueCfgScale: dto.true_cfg_scale ?? model.defaults.trueCfgScale,
        seed: dto.seed ?? randomInt(randomSeeds),
        numImages: dto.num_images ?? 1,
        maxSequenceLength: dto.max_sequence_length ?? defaults.maxSequenceLength,
      },
      output: { format, quality: qualityOf(dto), metadata: dto.output_metadata ?? true },
    };
  }

  /** Given values have been checked: what is found here is the model's own, which an operator's limits may rule out. */
  private holdToLimits(size: Size, steps: number): void {
    const { maxSteps } = this.limits;
    const own = `${size.width}x${size.height}`;
    const faults = [
      ...(isWithin(size, this.limits)
        ? []
        : [{ field: 'width', message: `and height are required: the model's own ${own} is not within the limits` }]),
      ...(steps <= maxSteps
        ? []
        : [{ field: 'num_inference_steps', message: `is required: the model's own ${steps} is above the limit of ${maxSteps}` }]),
    ];
    if (faults.length > 0) throw invalidFields(faults);
  }

  private inputSize(input: Size, model: ModelInfo): Size {
    const size = sizeLikeInput(input, model, this.limits);
    if (size) return size;
    const message = `is ${input.width}x${input.height}, and no picture of that shape is within the limits; give width and height`;
    throw invalidFields([{ field: 'image', message }]);
  }

  private model(): ModelInfo {
    const status = this.engine.status();
    if (!status.model) throw engineUnavailable(status);
    return status.model;
  }
}

export function qualityOf({ output_quality }: TextToImageDto): number {
  return output_quality ?? defaultQuality;
}

function givenSize({ width, height }: TextToImageDto): Size | null {
  return width !== undefined && height !== undefined ? { width, height } : null;
}
