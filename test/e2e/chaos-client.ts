import { randomUUID } from 'node:crypto';
import type { Random } from '../fault/random.js';
import type { ImageAnswer } from './client.js';
import { drawnPictures, filesOf, type Drawing, type DrawnPicture } from './drawing.js';
import { hasEnded, type JobAnswer } from './jobs.js';
import type { Lives } from './lives.js';
import { eventsOf } from './server-events.js';

/** How a client goes about its request. */
export const manners = [
  'plain',
  'plain, leaves',
  'keyed',
  'keyed, leaves',
  'async, asks',
  'async, reads events',
  'async, cancels',
  'in a hurry',
  'wrong',
] as const;
export type Manner = (typeof manners)[number];

/** What a client came to know of its request. */
export interface Story {
  manner: Manner;
  jobId: string | null;
  /** `completed`, an error code, or `left`. */
  end: string;
  pictures: DrawnPicture[];
}

type Fields = Drawing & { timeout_ms?: number };

interface Try {
  headers?: Readonly<Record<string, string>>;
  leaveAfterMs?: number;
}

/** A request that is not answered after so long hangs. */
const hangMs = 240_000;
const giveUpAfterMs = 600_000;
const worthAnotherTry = ['connection lost', 'INTERRUPTED', 'ENGINE_UNAVAILABLE', 'QUEUE_FULL'];

/** Sends one request after another, each in a manner of its own, to whichever server lives. */
export class ChaosClient {
  readonly stories: Story[] = [];

  constructor(
    private readonly lives: Lives,
    private readonly random: Random,
    private readonly drawings: readonly Drawing[],
  ) {}

  async tellOne(manner: Manner = this.random.pick(manners)): Promise<Story> {
    const story = await this.tell(manner, this.random.pick(this.drawings));
    this.stories.push(story);
    return story;
  }

  private tell(manner: Manner, drawing: Drawing): Promise<Story> {
    switch (manner) {
      case 'plain':
        return this.once(manner, drawing);
      case 'plain, leaves':
        return this.once(manner, drawing, { leaveAfterMs: this.random.between(1, 300) });
      case 'in a hurry':
        return this.once(manner, { ...drawing, timeout_ms: Math.ceil(this.random.between(1, 400)) });
      case 'wrong':
        return this.once(manner, { ...drawing, width: drawing.width + 1 });
      case 'keyed':
        return this.untilAnswered(manner, drawing, randomUUID());
      case 'keyed, leaves':
        return this.leaveAndComeBack(manner, drawing, randomUUID());
      case 'async, asks':
      case 'async, reads events':
      case 'async, cancels':
        return this.follow(manner, drawing);
    }
  }

  private async once(manner: Manner, fields: Fields, { headers = {}, leaveAfterMs }: Try = {}): Promise<Story> {
    const leave = leaveAfterMs === undefined ? null : AbortSignal.timeout(Math.ceil(leaveAfterMs));
    // Bytes are for one picture.
    const accept = (fields.num_images ?? 1) > 1 ? 'application/json' : 'image/png';
    const answer = await this.post(fields, { accept, ...headers }, leave);
    if (answer === null) return { manner, jobId: null, end: leave?.aborted ? 'left' : 'connection lost', pictures: [] };
    const { response, body } = answer;
    const jobId = response.headers.get('x-job-id');
    if (response.status !== 200) return { manner, jobId, end: codeOf(body), pictures: [] };
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    const files = isJson ? filesOf(JSON.parse(body.toString()) as ImageAnswer) : [body];
    return { manner, jobId, end: 'completed', pictures: await drawnPictures(fields, files) };
  }

  /** As an SDK does: the same key again until there is an answer that is worth no other try. */
  private async untilAnswered(manner: Manner, drawing: Drawing, key: string, accept = {}): Promise<Story> {
    for (const end = Date.now() + giveUpAfterMs; Date.now() < end;) {
      const story = await this.once(manner, drawing, { headers: { 'idempotency-key': key, ...accept } });
      if (!worthAnotherTry.includes(story.end)) return story;
      await pause(200);
    }
    throw new Error(`no answer to key ${key}`);
  }

  private async leaveAndComeBack(manner: Manner, drawing: Drawing, key: string): Promise<Story> {
    await this.once(manner, drawing, { headers: { 'idempotency-key': key }, leaveAfterMs: this.random.between(1, 200) });
    return this.untilAnswered(manner, drawing, key, { accept: 'application/json' });
  }

  private async follow(manner: Manner, drawing: Drawing): Promise<Story> {
    const answer = await this.post(drawing, { prefer: 'respond-async' }, null);
    if (answer === null) return { manner, jobId: null, end: 'connection lost', pictures: [] };
    if (answer.response.status !== 202) return { manner, jobId: null, end: codeOf(answer.body), pictures: [] };
    const { id } = JSON.parse(answer.body.toString()) as JobAnswer;
    if (manner === 'async, cancels') {
      await pause(this.random.between(0, 300));
      await this.ask('DELETE', `/jobs/${id}`);
    }
    const job = await (manner === 'async, reads events' ? this.lastEvent(id) : this.askUntilEnded(id));
    if (job.status !== 'completed') return { manner, jobId: id, end: job.error?.code ?? job.status, pictures: [] };
    const files: Buffer[] = [];
    for (const { url } of job.images) files.push(await this.file(url));
    return { manner, jobId: id, end: 'completed', pictures: await drawnPictures(drawing, files) };
  }

  private async askUntilEnded(id: string): Promise<JobAnswer> {
    for (const end = Date.now() + giveUpAfterMs; Date.now() < end;) {
      const told = await this.ask('GET', `/jobs/${id}`);
      if (told?.response.status === 404) throw new Error(`job ${id} is lost`);
      const job = told?.response.status === 200 ? (JSON.parse(told.body.toString()) as JobAnswer) : null;
      if (job && hasEnded(job)) return job;
      await pause(50);
    }
    throw new Error(`job ${id} does not end`);
  }

  /** As a browser does: connects again where it was when the connection was lost. */
  private async lastEvent(id: string): Promise<JobAnswer> {
    let lastId = 0;
    for (const end = Date.now() + giveUpAfterMs; Date.now() < end;) {
      const server = await this.lives.server();
      try {
        const headers = lastId > 0 ? { 'last-event-id': String(lastId) } : undefined;
        const response = await fetch(`${server.url}/jobs/${id}/events`, {
          ...(headers && { headers }),
          signal: AbortSignal.timeout(hangMs),
        });
        if (response.status === 404) throw new Error(`job ${id} is lost`);
        for await (const event of eventsOf(response)) {
          if (event.id <= lastId) throw new Error(`job ${id} told event ${event.id} after event ${lastId}`);
          lastId = event.id;
          if (['completed', 'failed', 'cancelled'].includes(event.name)) return event.data as unknown as JobAnswer;
        }
      } catch (error) {
        // That is what fetch says when the connection was lost; it is of another realm than Jest's own classes.
        if ((error as Error).name !== 'TypeError') throw error;
      }
      await pause(100);
    }
    throw new Error(`job ${id} tells no end`);
  }

  private async file(url: string): Promise<Buffer> {
    for (const end = Date.now() + giveUpAfterMs; Date.now() < end;) {
      const image = await this.ask('GET', url);
      if (image?.response.status === 200) return image.body;
      await pause(50);
    }
    throw new Error(`${url} is not there`);
  }

  private post(fields: Fields, headers: Record<string, string>, leave: AbortSignal | null) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers } };
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
