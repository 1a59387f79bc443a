import type { Idempotency, JobOrder } from './job.types.js';
import { ServiceError } from './service.error.js';

interface Entry {
  fingerprint: string;
  /** Null while the job is being made. */
  jobId: string | null;
  made: Promise<string>;
}

/** Which job an Idempotency-Key has: one that waits, runs or has completed. */
export class IdempotencyIndex {
  private readonly entries = new Map<string, Entry>();

  /** `mayBeJoined`: that job has not failed, was not cancelled, and is not to be forgotten. */
  constructor(private readonly mayBeJoined: (jobId: string) => boolean) {}

  /** The id of the job that this key has; it is made when there is none. @throws ServiceError IDEMPOTENCY_CONFLICT */
  async join(owner: string | null, { key, fingerprint }: Idempotency, make: () => Promise<string>): Promise<string> {
    const name = nameOf(owner, key);
    const known = this.find(name);
    if (known) {
      if (known.fingerprint === fingerprint) return known.made;
      throw new ServiceError('IDEMPOTENCY_CONFLICT', 'this Idempotency-Key was sent with another request');
    }
    const entry: Entry = { fingerprint, jobId: null, made: make() };
    this.entries.set(name, entry);
    try {
      entry.jobId = await entry.made;
      return entry.jobId;
    } catch (error) {
      if (this.entries.get(name) === entry) this.entries.delete(name);
      throw error;
    }
  }

  /** A job of an earlier server. */
  add(jobId: string, { owner, idempotency }: Pick<JobOrder, 'owner' | 'idempotency'>): void {
    if (!idempotency) return;
    const { key, fingerprint } = idempotency;
    this.entries.set(nameOf(owner, key), { fingerprint, jobId, made: Promise.resolve(jobId) });
  }

  has(owner: string | null, key: string): boolean {
    return this.find(nameOf(owner, key)) !== undefined;
  }

  /** The job has failed, was cancelled, or is forgotten: its key starts a new one. */
  forget(jobId: string, { owner, idempotency }: Pick<JobOrder, 'owner' | 'idempotency'>): void {
    if (!idempotency) return;
    const name = nameOf(owner, idempotency.key);
    if (this.entries.get(name)?.jobId === jobId) this.entries.delete(name);
  }

  private find(name: string): Entry | undefined {
    const entry = this.entries.get(name);
    return entry && (entry.jobId === null || this.mayBeJoined(entry.jobId)) ? entry : undefined;
  }
}

function nameOf(owner: string | null, key: string): string {
  return JSON.stringify([owner, key]);
}
