import { ImageDecoder, ImageEncoder, type OutputFormat, type Pixels } from '@app/image-processing';
import { Inject, Injectable } from '@nestjs/common';
import type { JobImage, JobKind } from './job.types.js';
import { describePicture, withFormat, type UsedParameters } from './parameters.js';
import { SOFTWARE, type Software } from './software.js';

/** How a picture came to be. */
export interface Origin {
  kind: JobKind;
  /** Name of the model. */
  model: string;
  parameters: UsedParameters;
}

const previewOutput: OutputFormat = { format: 'jpeg', quality: 80 };

/** Drawn pixels → files that tell how they came to be. */
@Injectable()
export class ResultEncoder {
  constructor(
    private readonly encoder: ImageEncoder,
    private readonly decoder: ImageDecoder,
    @Inject(SOFTWARE) private readonly software: Software,
  ) {}

  /** Image `index` of a job, in the format that the parameters name. */
  async encode(pixels: Pixels, index: number, { kind, model, parameters }: Origin): Promise<JobImage> {
    const output: OutputFormat = { format: parameters.output_format, quality: parameters.output_quality ?? 0 };
    const made = { model, software: `${this.software.name} ${this.software.version}` };
    const description = parameters.output_metadata ? describePicture(parameters, index, made) : null;
    const bytes = await this.encoder.encode(pixels, output, { fromImage: kind !== 'text-to-image', description });
    const { width, height } = pixels;
    return { bytes, seed: parameters.seed + index, width, height, format: output.format };
  }

  /** Small, and for a look only. */
  encodePreview(pixels: Pixels): Promise<Buffer> {
    return this.encoder.encode(pixels, previewOutput, { fromImage: false, description: null });
  }

  /** A lossless file in another format: the same bytes as if the job had been asked for it. */
  async encodeAnew(image: JobImage, index: number, origin: Origin, output: OutputFormat): Promise<JobImage> {
    // How large a picture may come from outside says nothing of what was drawn.
    const pixels = await this.decoder.decode({ field: 'image', bytes: image.bytes }, image.width * image.height);
    return this.encode(pixels, index, { ...origin, parameters: withFormat(origin.parameters, output) });
  }
}
