import { createHash, randomUUID } from 'node:crypto';
import type { Lives } from './lives.js';
import type { Random } from './random.js';

/** How a client goes about its request. */
export const manners = ['plain', 'plain, leaves', 'keyed', 'keyed, leaves', 'async', 'async, cancels', 'in a hurry'] as const;
export type Manner = (typeof manners)[number];

/** What a client came to know of its request. */
export interface Story {
  manner: Manner;
  jobId: string | null;
  /** `completed`, an error code, or `left`. */
  end: string;
  /** SHA-256 of the picture, by the request's seed. */
  picture: { seed: number; sha256: string } | null;
}

interface Fields {
  prompt: string;
  seed: number;
  width: number;
  height: number;
  num_inference_steps: number;
  timeout_ms?: number;
}

interface JobAnswer {
  id: string;
  status: string;
  images: { url: string }[];
  error: { code: string } | null;
}

const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
/** A request that is not answered after so long hangs. */
const hangMs = 120_000;
const giveUpAfterMs = 300_000;

export function fieldsOf(seed: number): Fields {
  return { prompt: 'a red circle', seed, width: 64, height: 64, num_inference_steps: 4 + 12 * (seed % 3) };
}

export function allFields(): Fields[] {
  return seeds.map(fieldsOf);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Sends one request after another, each in a manner of its own, to whichever server lives. */
export class ChaosClient {
  readonly stories: Story[] = [];

  constructor(
    private readonly lives: Lives,
    private readonly random: Random,
  ) {}

  async tellOne(): Promise<Story> {
    const manner = this.random.pick(manners);
    const fields = fieldsOf(this.random.pick(seeds));
    const story = await this.tell(manner, fields);
    this.stories.push(story);
    return story;
  }

  private tell(manner: Manner, fields: Fields): Promise<Story> {
    switch (manner) {
      case 'plain':
        return this.once(manner, fields, {});
      case 'plain, leaves':
        return this.once(manner, fields, {}, this.random.between(1, 300));
      case 'in a hurry':
        return this.once(manner, { ...fields, timeout_ms: Math.ceil(this.random.between(1, 400)) }, {});
      case 'keyed':
        return this.untilAnswered(manner, fields, randomUUID());
      case 'keyed, leaves':
        return this.leaveAndComeBack(manner, fields, randomUUID());
      case 'async':
      case 'async, cancels':
        return this.follow(manner, fields);
    }
  }

  /** One try. */
  private async once(manner: Manner, fields: Fields, headers: Record<string, string>, leaveAfterMs?: number): Promise<Story> {
    const leave = leaveAfterMs === undefined ? null : AbortSignal.timeout(Math.ceil(leaveAfterMs));
    const answer = await this.post(fields, headers, leave);
    if (answer === null) return { manner, jobId: null, end: leave?.aborted ? 'left' : 'connection lost', picture: null };
    const { response, body } = answer;
    const jobId = response.headers.get('x-job-id');
    if (response.status !== 200) return { manner, jobId, end: codeOf(body), picture: null };
    return { manner, jobId, end: 'completed', picture: { seed: fields.seed, sha256: sha256(body) } };
  }

  /** As an SDK does: the same key again until there is an answer that is worth no other try. */
  private async untilAnswered(manner: Manner, fields: Fields, key: string): Promise<Story> {
    for (const end = Date.now() + giveUpAfterMs; Date.now() < end;) {
      const story = await this.once(manner, fields, { 'idempotency-key': key });
      if (!['connection lost', 'INTERRUPTED', 'ENGINE_UNAVAILABLE', 'QUEUE_FULL'].includes(story.end)) return story;
      await pause(200);
    }
    throw new Error(`no answer to key ${key}`);
  }

  private async leaveAndComeBack(manner: Manner, fields: Fields, key: string): Promise<Story> {
    await this.once(manner, fields, { 'idempotency-key': key }, this.random.between(1, 200));
    return this.untilAnswered(manner, fields, key);
  }

  private async follow(manner: Manner, fields: Fields): Promise<Story> {
    const answer = await this.post(fields, { prefer: 'respond-async' }, null);
    if (answer === null) return { manner, jobId: null, end: 'connection lost', picture: null };
    if (answer.response.status !== 202) return { manner, jobId: null, end: codeOf(answer.body), picture: null };
    const { id } = JSON.parse(answer.body.toString()) as JobAnswer;
    if (manner === 'async, cancels') {
      await pause(this.random.between(0, 300));
      await this.ask('DELETE', `/jobs/${id}`);
    }
    for (const end = Date.now() + giveUpAfterMs; Date.now() < end;) {
      const told = await this.ask('GET', `/jobs/${id}`);
      if (told?.response.status === 404) throw new Error(`job ${id} is lost`);
      const job = told?.response.status === 200 ? (JSON.parse(told.body.toString()) as JobAnswer) : null;
      const story = job && (await this.endOf(manner, fields, job));
      if (story) return story;
      await pause(50);
    }
    throw new Error(`job ${id} does not end`);
  }

  /** Null: not yet, or the server went while it was asked. */
  private async endOf(manner: Manner, { seed }: Fields, { id, status, images, error }: JobAnswer): Promise<Story | null> {
    if (status === 'failed' || status === 'cancelled') {
      return { manner, jobId: id, end: error?.code ?? status, picture: null };
    }
    const url = status === 'completed' ? images[0]?.url : undefined;
    const image = url === undefined ? null : await this.ask('GET', url);
    if (image?.response.status !== 200) return null;
    return { manner, jobId: id, end: 'completed', picture: { seed, sha256: sha256(image.body) } };
  }

  private post(fields: Fields, headers: Record<string, string>, leave: AbortSignal | null) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json', accept: 'image/png', ...headers } };
    return this.exchange('/text-to-image', { ...init, body: JSON.stringify(fields) }, leave);
  }

  private ask(method: string, path: string) {
    return this.exchange(path, { method }, null);
  }

  /** Null: the connection was lost, or the client left. */
  private async exchange(path: string, init: RequestInit, leave: AbortSignal | null) {
    const server = await this.lives.server();
    const hangs = AbortSignal.timeout(hangMs);
    try {
      const signal = leave ? AbortSignal.any([leave, hangs]) : hangs;
      const response = await fetch(`${server.url}${path}`, { ...init, signal });
      return { response, body: Buffer.from(await response.arrayBuffer()) };
    } catch (error) {
      if (hangs.aborted) throw new Error(`${path} hangs`, { cause: error });
      return null;
    }
  }
}

function codeOf(body: Buffer): string {
  return (JSON.parse(body.toString()) as { error: { code: string } }).error.code;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
