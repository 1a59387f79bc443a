import { createHash } from 'node:crypto';
import { Client, errorOf } from '../e2e/client.js';
import { eventually, type Server } from '../e2e/server.js';

export interface JobBody {
  id: string;
  status: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';
  created: number;
  started: number | null;
  finished: number | null;
  expires: number | null;
  attempt: number;
  position: number | null;
  eta_ms: number | null;
  progress: { stage: string; image: number; step: number; total: number } | null;
  parameters: Record<string, unknown>;
  images: { url: string; seed: number }[];
  timings: Record<string, number> | null;
  error: { code: string; type: string; message: string } | null;
}

export interface StreamedEvent {
  id: number;
  name: string;
  data: Record<string, unknown>;
}

/** One reader of a job's events. */
export class EventReader {
  readonly events: StreamedEvent[] = [];
  /** Settles when the stream has ended; rejects when it was cut. */
  readonly ended: Promise<void>;

  constructor(private readonly response: Response) {
    this.ended = this.read();
    this.ended.catch(() => null);
  }

  named(name: string): StreamedEvent[] {
    return this.events.filter((event) => event.name === name);
  }

  private async read(): Promise<void> {
    if (this.response.status !== 200) throw new Error(`no events: ${this.response.status}`);
    let text = '';
    const decoder = new TextDecoder();
    for await (const bytes of this.response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(bytes, { stream: true });
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        this.take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  private take(block: string): void {
    const lines = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
    const data = lines.get('data');
    if (data === undefined) return; // a comment
    const event = {
      id: Number(lines.get('id')),
      name: lines.get('event') ?? '',
      data: JSON.parse(data) as StreamedEvent['data'],
    };
    this.events.push(event);
  }
}

/** A client that knows of jobs. */
export class JobClient extends Client<Server> {
  async accepted(fields: object, headers: Record<string, string> = {}): Promise<JobBody> {
    const answer = await this.postJson(fields, { prefer: 'respond-async', ...headers });
    if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()) as JobBody;
  }

  /** An answer that is the picture itself. */
  keyed(key: string, fields: object): Promise<Response> {
    return this.postJson(fields, { 'idempotency-key': key, accept: 'image/png' });
  }

  async job(id: string): Promise<JobBody> {
    const answer = await this.get(`/jobs/${id}`);
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()) as JobBody;
  }

  async ended(id: string): Promise<JobBody> {
    let job = await this.job(id);
    await eventually(`job ${id} has ended`, async () => (job = await this.job(id)).finished !== null);
    return job;
  }

  async completed(id: string): Promise<JobBody> {
    const job = await this.ended(id);
    if (job.status !== 'completed') throw new Error(`job ${id} is ${job.status}: ${JSON.stringify(job.error)}`);
    return job;
  }

  /** SHA-256 of the picture of a job that has completed. */
  async pictureHash(id: string): Promise<string> {
    return hashOf(await this.get(`/jobs/${id}/images/0`));
  }

  async events(id: string, lastId?: number): Promise<EventReader> {
    const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': String(lastId) };
    return new EventReader(await fetch(`${this.server.url}/jobs/${id}/events`, { headers }));
  }

  /** Waits until the running job has come so far. */
  async denoised(id: string, steps: number): Promise<void> {
    await eventually(`job ${id} is at step ${steps}`, async () => {
      const { progress, status } = await this.job(id);
      if (status !== 'running' && status !== 'queued') throw new Error(`job ${id} is ${status}`);
      return progress?.stage === 'denoise' && progress.step >= steps;
    });
  }
}

/** SHA-256 of an answer that must be a picture. */
export async function hashOf(response: Response): Promise<string> {
  if (response.status !== 200) throw new Error(JSON.stringify(await errorOf(response)));
  const bytes = Buffer.from(await response.arrayBuffer());
  return createHash('sha256').update(bytes).digest('hex');
}
