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
