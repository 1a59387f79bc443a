import { crc32 } from 'node:zlib';

const signatureBytes = 8;
/** Length, type and CRC around a chunk's data. */
const frameBytes = 12;

/** The file with uncompressed iTXt chunks put behind IHDR, where readers of text look before the pixels come. */
export function insertTextChunks(png: Buffer, texts: Readonly<Record<string, string>>): Buffer {
  const headerEnd = signatureBytes + frameBytes + png.readUInt32BE(signatureBytes);
  const chunks = Object.entries(texts).map(([keyword, text]) => chunk('iTXt', internationalText(keyword, text)));
  return Buffer.concat([png.subarray(0, headerEnd), ...chunks, png.subarray(headerEnd)]);
}

const textTypes: ReadonlySet<number> = new Set(
  ['tEXt', 'zTXt', 'iTXt'].map((type) => Buffer.from(type, 'latin1').readUInt32BE()),
);

/**
 * The file without its texts. No pixel needs them, and a reader of the header unpacks all of them: 20 MB of packed nothing are
 * seconds of work. What is broken stays, for the reader to find.
 */
export function withoutTextChunks(png: Buffer): Buffer {
  const kept = Buffer.allocUnsafe(png.length);
  let size = png.copy(kept, 0, 0, signatureBytes);
  let at = signatureBytes;
  while (at + frameBytes <= png.length) {
    const end = at + frameBytes + png.readUInt32BE(at);
    const isText = textTypes.has(png.readUInt32BE(at + 4)) && end <= png.length;
    if (!isText) size += png.copy(kept, size, at, end);
    at = Math.min(end, png.length);
  }
  size += png.copy(kept, size, at);
  return kept.subarray(0, size);
}

const animationControl = Buffer.from('acTL', 'latin1').readUInt32BE();
const imageData = Buffer.from('IDAT', 'latin1').readUInt32BE();

/** Frames of a PNG, which libvips does not tell: https://www.w3.org/TR/png-3/#acTL-chunk, in front of the pixels. */
export function pngFrames(png: Buffer): number {
  for (let at = signatureBytes; at + frameBytes + 8 <= png.length; at += frameBytes + png.readUInt32BE(at)) {
    const type = png.readUInt32BE(at + 4);
    if (type === animationControl) return png.readUInt32BE(at + 8);
    if (type === imageData) break;
  }
  return 1;
}

function chunk(type: string, data: Buffer): Buffer {
  const typeAndData = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(data.length + frameBytes);
  framed.writeUInt32BE(data.length, 0);
  typeAndData.copy(framed, 4);
  framed.writeUInt32BE(crc32(typeAndData), framed.length - 4);
  return framed;
}

function internationalText(keyword: string, text: string): Buffer {
  // keyword 0, compression flag 0, compression method 0, language 0, translated keyword 0, text
  return Buffer.concat([Buffer.from(keyword, 'latin1'), Buffer.alloc(5), Buffer.from(text, 'utf8')]);
}
