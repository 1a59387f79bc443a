import { imageFormats, mediaTypes, type ImageFormat } from '@app/image-processing';
import type { JobImage, JobTimings, Outcome } from '@app/inference';
import { StreamableFile } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { Readable } from 'node:stream';

/** A multiple of 3, so that the pieces' base64 is the whole's. */
const pieceBytes = 3 * 32_768;

/** The bytes of one image as an answer of the OpenAPI document. */
export const imageContent = Object.fromEntries(
  Object.values(mediaTypes).map((type) => [type, { schema: { type: 'string', format: 'binary' } }] as const),
);

export class DrawnImage {
  @ApiProperty({ type: String, format: 'byte', description: 'the file in base64' })
  b64_json: string;

  @ApiProperty({ type: 'integer', description: 'draws this image again, alone' })
  seed: number;

  @ApiProperty({ type: 'integer' })
  width: number;

  @ApiProperty({ type: 'integer' })
  height: number;

  @ApiProperty({ enum: imageFormats })
  format: ImageFormat;
}

export class AnswerWarning {
  @ApiProperty({ type: String, example: 'PROMPT_TRUNCATED', description: 'PROMPT_TRUNCATED or ANIMATION_CUT' })
  code: string;

  @ApiProperty({ type: String, example: 'prompt' })
  field: string;

  @ApiProperty({ type: String })
  message: string;
}

export class AnswerTimings {
  @ApiProperty({ type: 'number' })
  queue_ms: number;

  @ApiProperty({ type: 'number' })
  encode_ms: number;

  @ApiProperty({ type: 'number' })
  denoise_ms: number;

  @ApiProperty({ type: 'number' })
  decode_ms: number;

  @ApiProperty({ type: 'number', description: 'from the request to the encoded files' })
  total_ms: number;
}

export class ImageResponse {
  @ApiProperty({ type: String, format: 'uuid' })
  id: string;

  @ApiProperty({ type: 'integer', description: 'seconds since the epoch' })
  created: number;

  @ApiProperty({ type: String, example: 'demo' })
  model: string;

  @ApiProperty({ type: [DrawnImage] })
  images: DrawnImage[];

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'every field that the pictures depend on, as it was used, defaults resolved',
  })
  parameters: Record<string, unknown>;

  @ApiProperty({ type: [AnswerWarning], description: 'what was cut or changed, and why' })
  warnings: AnswerWarning[];

  @ApiProperty({ type: AnswerTimings })
  timings: AnswerTimings;
}

export function bytesAnswer({ bytes, format }: Pick<JobImage, 'bytes' | 'format'>): StreamableFile {
  return new StreamableFile(Readable.from(piecesOf(bytes)), { type: mediaTypes[format], length: bytes.length });
}

/** As one write it would be sent, or not, as a whole: nobody could tell a slow reader from one that reads nothing. */
function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/**
 * An ImageResponse as a stream: base64 needs no escaping, so the files are put between the rest in pieces. JSON.stringify
 * of 20 MB would hold up the event loop, and every other request, for a good part of a second.
 */
export function jsonAnswer(outcome: Outcome): StreamableFile {
  const pieces = jsonPieces(outcome);
  const length = pieces.reduce(
    (sum, piece) => sum + (typeof piece === 'string' ? Buffer.byteLength(piece) : base64Length(piece)),
    0,
  );
  return new StreamableFile(Readable.from(encodePieces(pieces)), { type: 'application/json; charset=utf-8', length });
}

/** Text as it is, files as bytes that are still to be encoded. */
function jsonPieces({ id, createdAt, result }: Outcome): (string | Buffer)[] {
  const { images, parameters, warnings, timings } = result;
  const head = JSON.stringify({ id, created: Math.floor(createdAt / 1000), model: result.model });
  const tail = JSON.stringify({ parameters, warnings, timings: timingsOf(timings) });
  const files = images.flatMap(({ bytes, seed, width, height, format }, index) => [
    `${index === 0 ? '' : ','}{"b64_json":"`,
    bytes,
    `",${JSON.stringify({ seed, width, height, format }).slice(1)}`,
  ]);
  return [`${head.slice(0, -1)},"images":[`, ...files, `],${tail.slice(1)}`];
}

function* encodePieces(pieces: readonly (string | Buffer)[]): Generator<Buffer> {
  for (const piece of pieces) {
    if (typeof piece === 'string') yield Buffer.from(piece);
    else {
      for (const part of piecesOf(piece)) yield Buffer.from(part.toString('base64'), 'latin1');
    }
  }
}

function base64Length({ length }: Buffer): number {
  return 4 * Math.ceil(length / 3);
}

export function timingsOf({ queueMs, encodeMs, denoiseMs, decodeMs, totalMs }: JobTimings): AnswerTimings {
  const round = (ms: number) => Math.round(ms * 10) / 10;
  return {
    queue_ms: round(queueMs),
    encode_ms: round(encodeMs),
    denoise_ms: round(denoiseMs),
    decode_ms: round(decodeMs),
    total_ms: round(totalMs),
  };
}
