import { crc32, deflateSync } from 'node:zlib';

export const grayType = 0;
export const paletteType = 3;

interface Layout {
  width: number;
  height: number;
  bitDepth: number;
  colourType: number;
  /** Chunks between header and pixels, such as PLTE and tRNS. */
  chunks?: readonly Buffer[];
}

/** A PNG of one sample a pixel, of depths that encoders avoid. */
export function pngOf(
  { width, height, bitDepth, colourType, chunks = [] }: Layout,
  sample: (x: number, y: number) => number,
): Buffer {
  const rowBytes = Math.ceil((width * bitDepth) / 8);
  const rows = Buffer.alloc(height * (1 + rowBytes)); // each begins with its filter: none
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = sample(x, y);
      const at = y * (1 + rowBytes) + 1 + Math.floor((x * bitDepth) / 8);
      if (bitDepth === 16) rows.writeUInt16BE(value, at);
      else rows[at] = (rows[at] ?? 0) | (value << (8 - bitDepth - ((x * bitDepth) % 8)));
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bitDepth, colourType], 8);
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    ...chunks,
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

export function chunk(type: string, data: Buffer): Buffer {
  const framed = Buffer.concat([Buffer.alloc(4), Buffer.from(type, 'latin1'), data, Buffer.alloc(4)]);
  framed.writeUInt32BE(data.length, 0);
  framed.writeUInt32BE(crc32(framed.subarray(4, -4)), framed.length - 4);
  return framed;
}
