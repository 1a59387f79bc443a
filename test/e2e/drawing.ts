import { createHash } from 'node:crypto';
import { answerOf, pictureOf, type Client, type ImageAnswer } from './client.js';

/** What is to be drawn. */
export interface Drawing {
  prompt: string;
  seed: number;
  width: number;
  height: number;
  num_inference_steps: number;
  num_images?: number;
}

/** A picture by what it shows: two files are the same picture when every pixel is. */
export interface DrawnPicture {
  /** The request that draws it alone. */
  of: string;
  sha256: string;
}

/** Requests that draw each picture of this one alone. */
export function eachAlone(drawing: Drawing): Drawing[] {
  const { num_images = 1, ...single } = drawing;
  return Array.from({ length: num_images }, (_, index) => ({ ...single, seed: drawing.seed + index }));
}

export async function drawnPictures(drawing: Drawing, files: readonly Buffer[]): Promise<DrawnPicture[]> {
  const alone = eachAlone(drawing);
  if (files.length !== alone.length) throw new Error(`${files.length} pictures came, asked for ${alone.length}`);
  return Promise.all(
    alone.map(async (single, index) => ({
      of: JSON.stringify(single),
      sha256: await pixelHash(files[index] ?? Buffer.alloc(0)),
    })),
  );
}

/** Hashes of all pictures of these requests, each drawn alone, by the request that draws it. */
export async function drawEachAlone(client: Client, drawings: readonly Drawing[]): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  for (const single of drawings.flatMap(eachAlone)) {
    const files = filesOf(await answerOf(await client.postJson(single)));
    for (const { of, sha256 } of await drawnPictures(single, files)) hashes.set(of, sha256);
  }
  return hashes;
}

export function filesOf({ images }: Pick<ImageAnswer, 'images'>): Buffer[] {
  return images.map(({ b64_json }) => Buffer.from(b64_json, 'base64'));
}

async function pixelHash(file: Buffer): Promise<string> {
  const { width, height, data } = await pictureOf(file);
  return createHash('sha256').update(`${width}x${height} `).update(data).digest('hex');
}
