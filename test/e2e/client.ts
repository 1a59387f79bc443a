import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { eventually, type Server } from './server.js';

export interface Picture {
  width: number;
  height: number;
  /** RGB */
  data: Buffer;
}

export interface ImageAnswer {
  id: string;
  images: { b64_json: string; seed: number; width: number; height: number; format: string }[];
  parameters: Record<string, unknown>;
  warnings: { code: string; field: string; message: string }[];
}

export interface ErrorBody {
  code: string;
  message: string;
  param: string | null;
  details?: { field: string; message: string }[];
}

/** `model` of /health. */
export interface Model {
  id: string;
  state: string;
  progress: number | null;
  error: string | null;
}

/** Few steps of a small picture: a second's work. */
export const small = { prompt: 'a red circle', seed: 1, width: 64, height: 64, num_inference_steps: 4 };

export function fixture(name: string): Buffer {
  return readFileSync(join(__dirname, '../fixtures', name));
}

export async function pictureOf(file: Buffer): Promise<Picture> {
  const { data, info } = await sharp(file).toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}

/** The routes as a client sees them. */
export class Client<S extends Pick<Server, 'url'> = Pick<Server, 'url'>> {
  constructor(
    readonly server: S,
    /** Sent with every request. */
    private readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  get(path: string): Promise<Response> {
    return fetch(`${this.server.url}${path}`, { headers: this.headers });
  }

  postJson(
    body: object | string | Buffer,
    headers: Readonly<Record<string, string>> = {},
    signal: AbortSignal | null = null,
  ): Promise<Response> {
    return fetch(`${this.server.url}/text-to-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.headers, ...headers },
      body: typeof body === 'string' ? body : Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body),
      signal,
    });
  }

  postForm(fields: Record<string, unknown>, image: Buffer): Promise<Response> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, String(value));
    form.set('image', new Blob([new Uint8Array(image)]), 'image');
    return fetch(`${this.server.url}/image-to-image`, { method: 'POST', headers: this.headers, body: form });
  }

  /** Asks for another model or none; gives what /health will call `model`, when the change has begun. */
  async changeModel(to: 'load' | 'unload', body: object = {}): Promise<Model> {
    const answer = await fetch(`${this.server.url}/admin/model/${to}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.headers },
      body: JSON.stringify(body),
    });
    if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Model;
  }

  /** Waits until so many jobs run and wait. */
  async queueIs(wanted: { running: number; pending?: number }): Promise<void> {
    await eventually(`the queue is ${JSON.stringify(wanted)}`, async () => {
      const { queue } = (await (await this.get('/health')).json()) as { queue: { running: number; pending: number } };
      return queue.running === wanted.running && queue.pending === (wanted.pending ?? queue.pending);
    });
  }

  /** The file of a request that must go well. */
  async file(fields: object, headers: Readonly<Record<string, string>> = {}): Promise<Buffer> {
    const answer = await this.postJson(fields, { accept: 'image/png', ...headers });
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
    return Buffer.from(await answer.arrayBuffer());
  }

  /** Pictures of a text-to-image request that must go well. */
  async draw(fields: object): Promise<Picture[]> {
    return picturesOf(await answerOf(await this.postJson(fields)));
  }

  /** The picture of an image-to-image request that must go well. */
  async redraw(fields: Record<string, unknown>, image: Buffer): Promise<Picture> {
    return firstOf(await picturesOf(await answerOf(await this.postForm(fields, image))));
  }
}

export async function answerOf(response: Response): Promise<ImageAnswer> {
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  return JSON.parse(text) as ImageAnswer;
}

export async function errorOf(response: Response): Promise<ErrorBody & { status: number }> {
  const { error } = (await response.json()) as { error: ErrorBody };
  return { ...error, status: response.status };
}

export function picturesOf({ images }: ImageAnswer): Promise<Picture[]> {
  return Promise.all(images.map(({ b64_json }) => pictureOf(Buffer.from(b64_json, 'base64'))));
}

export function firstOf(pictures: readonly Picture[]): Picture {
  const [first] = pictures;
  if (!first) throw new Error('no picture came');
  return first;
}
