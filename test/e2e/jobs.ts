import { eventsOf, type ServerEvent } from './server-events.js';
import { eventually, type Server } from './server.js';

export interface JobAnswer {
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
  images: { url: string; seed: number; width: number; height: number; format: string; bytes: number }[];
  timings: Record<string, number> | null;
  error: { code: string; type: string; message: string } | null;
  links: { self: string; events: string };
}

/** Jobs as a client sees them that does not wait on its connection. */
export class Jobs {
  constructor(
    private readonly server: Pick<Server, 'url'>,
    private readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  ask(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.server.url}${path}`, { method, headers: { ...this.headers, ...headers } });
  }

  /** A request that must be accepted. */
  async submit(fields: object, headers: Readonly<Record<string, string>> = {}): Promise<JobAnswer> {
    const answer = await fetch(`${this.server.url}/text-to-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer: 'respond-async', ...this.headers, ...headers },
      body: JSON.stringify(fields),
    });
    return jobOf(answer, 202);
  }

  async read(id: string): Promise<JobAnswer> {
    return jobOf(await this.ask('GET', `/jobs/${id}`), 200);
  }

  async cancel(id: string): Promise<JobAnswer> {
    return jobOf(await this.ask('DELETE', `/jobs/${id}`), 200);
  }

  /** The job when it has ended. */
  async ended(id: string): Promise<JobAnswer> {
    let job = await this.read(id);
    await eventually(`job ${id} ends`, async () => {
      job = await this.read(id);
      return hasEnded(job);
    });
    return job;
  }

  /** The file of the first picture of a job that must go well. */
  async picture(id: string): Promise<Buffer> {
    const job = await this.ended(id);
    const [image] = job.images;
    if (!image) throw new Error(`job ${id} is ${JSON.stringify(job)}`);
    const answer = await this.ask('GET', image.url);
    if (answer.status !== 200) throw new Error(`${image.url} ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  }

  events(id: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.ask('GET', `/jobs/${id}/events`, headers);
  }

  /** The first event of its kind from now on, or of the state so far. */
  async told(id: string, isIt: (event: ServerEvent) => boolean): Promise<ServerEvent> {
    for await (const event of eventsOf(await this.events(id))) if (isIt(event)) return event;
    throw new Error(`job ${id} ended before`);
  }
}

export function hasEnded({ status }: JobAnswer): boolean {
  return ['completed', 'failed', 'cancelled'].includes(status);
}

async function jobOf(answer: Response, status: number): Promise<JobAnswer> {
  const text = await answer.text();
  if (answer.status !== status) throw new Error(`${answer.status} ${text}`);
  return JSON.parse(text) as JobAnswer;
}
