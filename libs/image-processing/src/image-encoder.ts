import { Injectable } from '@nestjs/common';
import type { ImageFormat } from './image-format.js';
import { sharp } from './locked-sharp.js';
import { insertTextChunks } from './png-chunks.js';
import { describeAsJson, provenancePacket, provenancePacketWithin, type Provenance } from './provenance.js';
import type { Pixels } from './pixels.js';

export interface OutputFormat {
  format: ImageFormat;
  /** 1 to 100; PNG has none. */
  quality: number;
}

/** A JPEG segment would hold 65,504; libvips drops a packet of more than this, and says nothing. */
const maxJpegPacketBytes = 60_000;
/** Drawn pictures hardly get smaller at higher levels, and take much longer. */
const pngCompressionLevel = 3;

/** Pixels → a file that says how it came to be. */
@Injectable()
export class ImageEncoder {
  async encode({ data, width, height, channels }: Pixels, output: OutputFormat, provenance: Provenance): Promise<Buffer> {
    const { quality } = output;
    const pixels = sharp(data, { raw: { width, height, channels } });
    switch (output.format) {
      case 'png':
        return addPngTexts(await pixels.png({ compressionLevel: pngCompressionLevel }).toBuffer(), provenance);
      case 'jpeg':
        return pixels
          .jpeg({ quality, chromaSubsampling: '4:4:4' })
          .withXmp(provenancePacketWithin(maxJpegPacketBytes, provenance))
          .toBuffer();
      case 'webp':
        return pixels.webp({ quality }).withXmp(provenancePacket(provenance)).toBuffer();
    }
  }
}

/** libvips would compress the packet of a PNG; readers of provenance expect it plain. */
function addPngTexts(png: Buffer, provenance: Provenance): Buffer {
  const { description } = provenance;
  return insertTextChunks(png, {
    'XML:com.adobe.xmp': provenancePacket(provenance),
    ...(description ? { parameters: describeAsJson(description) } : {}),
  });
}
