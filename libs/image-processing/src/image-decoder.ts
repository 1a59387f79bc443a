import { configTokens, type LimitsConfig } from '@app/config';
import { Inject, Injectable } from '@nestjs/common';
import { sniffFormat, type ImageFormat } from './image-format.js';
import { ImageError } from './image.error.js';
import type { Pixels } from './pixels.js';
import { sharp } from './locked-sharp.js';
import { pngFrames, withoutTextChunks } from './png-chunks.js';

/** An uploaded file, as it came. */
export interface ImageFile {
  /** Its field in the request, for messages. */
  field: string;
  bytes: Buffer;
  /** As its header tells, once that is read. */
  size?: { width: number; height: number };
}

export interface ImageHeader {
  format: ImageFormat;
  /** Sides as a person sees them: EXIF orientation applied. */
  width: number;
  height: number;
  /** More than one: it moves. */
  frames: number;
}

/** Untrusted bytes → pixels. */
@Injectable()
export class ImageDecoder {
  constructor(@Inject(configTokens.limits) private readonly limits: Pick<LimitsConfig, 'maxInputPixels' | 'decodeTimeoutMs'>) {}

  /**
   * Type and size, from the header alone: a bomb is refused before it is unpacked.
   * @throws ImageError
   */
  async readHeader(file: ImageFile): Promise<ImageHeader> {
    const { format, width, height, frames } = await this.open(file, this.limits.maxInputPixels);
    return { format, width, height, frames };
  }

  /**
   * 8-bit RGB in sRGB, upright, alpha composited on white, the first frame of an animation: what a person sees.
   * `maxPixels` is for files that do not come from outside.
   * @throws ImageError
   */
  async decode(file: ImageFile, maxPixels = this.limits.maxInputPixels): Promise<Pixels & Pick<ImageHeader, 'frames'>> {
    const { bytes, frames } = await this.open(file, maxPixels);
    const { decodeTimeoutMs } = this.limits;
    const decoding = sharp(bytes, {
      // A warning is a picture whose rest libvips would make up.
      failOn: 'warning',
      limitInputPixels: maxPixels,
      sequentialRead: true,
      pages: 1,
    })
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .timeout({ seconds: Math.ceil(decodeTimeoutMs / 1000) })
      .toBuffer({ resolveWithObject: true });
    const { data, info } = await orInvalid(file.field, within(decodeTimeoutMs, decoding));
    return { width: info.width, height: info.height, channels: 3, data, frames };
  }

  /** The header, and what sharp shall see of the file. */
  private async open({ field, bytes }: ImageFile, maxPixels: number): Promise<ImageHeader & { bytes: Buffer }> {
    if (bytes.length === 0) throw new ImageError('INVALID_IMAGE', field, 'the file is empty');
    const format = sniffFormat(bytes);
    if (!format) {
      throw new ImageError('UNSUPPORTED_MEDIA_TYPE', field, 'must be a PNG, JPEG or WebP file; its bytes are none of them');
    }

    const { decodeTimeoutMs } = this.limits;
    const seen = format === 'png' ? withoutTextChunks(bytes) : bytes;
    // Our own limit is checked below, with the size in the message; reading a header allocates no pixels.
    const reading = sharp(seen, { limitInputPixels: false, pages: 1 }).metadata();
    const { autoOrient, pages = 1 } = await orInvalid(field, within(decodeTimeoutMs, reading));
    const { width, height } = autoOrient;
    if (width * height > maxPixels) {
      throw new ImageError(
        'INVALID_IMAGE',
        field,
        `has ${width}x${height} = ${width * height} pixels, at most ${maxPixels} may come`,
      );
    }
    return { format, width, height, frames: format === 'png' ? pngFrames(seen) : pages, bytes: seen };
  }
}

async function orInvalid<T>(field: string, decoding: Promise<T>): Promise<T> {
  try {
    return await decoding;
  } catch (error) {
    // Where libvips says nothing more, sharp's own words end in a colon.
    const reason = (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]?.replace(/[:\s]+$/, '');
    throw new ImageError('INVALID_IMAGE', field, `cannot be decoded: ${reason}`, { cause: error });
  }
}

/**
 * sharp has a clock of its own, which stops libvips and frees its thread. It knows whole seconds, and does not run while a
 * picture is turned upright or the scans of a progressive JPEG are put together: the one here ends the wait, on time.
 */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it takes longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
