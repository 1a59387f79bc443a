import { createHash } from 'node:crypto';
import { Client, errorOf } from '../e2e/client.js';
import { Jobs, type JobAnswer } from '../e2e/jobs.js';
import { eventsOf, type ServerEvent } from '../e2e/server-events.js';
import { eventually, type Server } from '../e2e/server.js';

/** One reader of a job's events. */
export class EventReader {
  readonly events: ServerEvent[] = [];
  /** Settles when the stream has ended; rejects when it was cut. */
  readonly ended: Promise<void>;

  constructor(private readonly response: Response) {
    this.ended = this.read();
    this.ended.catch(() => null);
  }

  named(name: string): ServerEvent[] {
    return this.events.filter((event) => event.name === name);
  }

  private async read(): Promise<void> {
    for await (const event of eventsOf(this.response)) this.events.push(event);
  }
}

/** A client that knows of jobs. */
export class JobClient extends Client<Server> {
  private readonly jobs = new Jobs(this.server);

  accepted(fields: object, headers: Record<string, string> = {}): Promise<JobAnswer> {
    return this.jobs.submit(fields, headers);
  }

  /** An answer that is the picture itself. */
  keyed(key: string, fields: object): Promise<Response> {
    return this.postJson(fields, { 'idempotency-key': key, accept: 'image/png' });
  }

  job(id: string): Promise<JobAnswer> {
    return this.jobs.read(id);
  }

  ended(id: string): Promise<JobAnswer> {
    return this.jobs.ended(id);
  }

  async completed(id: string): Promise<JobAnswer> {
    const job = await this.ended(id);
    if (job.status !== 'completed') throw new Error(`job ${id} is ${job.status}: ${JSON.stringify(job.error)}`);
    return job;
  }

  /** SHA-256 of the picture of a job that has completed. */
  async pictureHash(id: string): Promise<string> {
    return hashOf(await this.get(`/jobs/${id}/images/0`));
  }

  async events(id: string, lastId?: number): Promise<EventReader> {
    const answer = await this.jobs.events(id, lastId === undefined ? {} : { 'last-event-id': String(lastId) });
    if (answer.status !== 200) throw new Error(`no events of job ${id}: ${answer.status}`);
    return new EventReader(answer);
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
