import type { AppConfig } from '@app/config';
import { Logger } from '@nestjs/common';
import type { IdempotencyIndex } from './idempotency-index.js';
import type { JobOrder, JobRecord } from './job.types.js';
import type { JobStore } from './store/job-store.js';

/** What is kept in memory of a job that has ended; everything else is read when somebody asks. */
interface Ended {
  id: string;
  isCompleted: boolean;
  order: Pick<JobOrder, 'owner' | 'idempotency'>;
  /** Its one client has had the answer: nobody was promised more. */
  isAnswered: boolean;
  /** On the clock of this process, which never jumps. */
  forgetAt: number;
}

/**
 * Jobs that have ended and are stored, until they are forgotten: after their time, or when their bytes are needed, those first that
 * have been answered, and the oldest of them first.
 */
export class JobShelf {
  private readonly logger = new Logger(JobShelf.name);
  /** The oldest first. */
  private readonly jobs = new Map<string, Ended>();
  private lastTurn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: JobStore,
    private readonly keys: IdempotencyIndex,
    private readonly config: Pick<AppConfig['jobs'], 'ttlMs' | 'maxBytes'>,
  ) {}

  put(record: JobRecord): void {
    this.keep(record, this.config.ttlMs);
  }

  /** One that ended before this server began: between two servers there is only the wall clock, and what it says goes. */
  async putBack(record: JobRecord): Promise<void> {
    const ageMs = Date.now() - (record.finishedAt ?? 0);
    this.keep(record, Math.max(0, this.config.ttlMs - Math.max(0, ageMs)));
    if (ageMs < 0) await this.bringToPresent(record);
  }

  /** How long it is still kept; 0 when it is not. */
  keptMs(id: string): number {
    const ended = this.find(id);
    return ended ? ended.forgetAt - performance.now() : 0;
  }

  has(id: string): boolean {
    return this.find(id) !== null;
  }

  hasCompleted(id: string): boolean {
    return this.find(id)?.isCompleted ?? false;
  }

  /** Calls `create`, which needs so many bytes; before it, ended jobs are forgotten for them, unless all of them would not do. */
  async createInRoom(neededBytes: number, create: () => Promise<void>): Promise<void> {
    if (this.excess(neededBytes) <= 0) return create();
    const { created } = await this.inTurn(async () => {
      await this.makeRoom(neededBytes);
      // At once after the look at what is free: what others make room for is not taken from them.
      return { created: create() };
    });
    return created;
  }

  sweep(): Promise<void> {
    return this.inTurn(async () => {
      const now = performance.now();
      await this.forgetAll([...this.jobs.values()].filter(({ forgetAt }) => forgetAt <= now));
      const excess = this.excess(0);
      if (excess > 0) await this.forgetAll(this.firstToGo(excess) ?? [...this.jobs.values()]);
    });
  }

  private keep({ id, order: { owner, idempotency, async }, state }: JobRecord, leftMs: number): void {
    const order = { owner, idempotency };
    const isCompleted = state === 'completed';
    const isAnswered = !async && idempotency === null;
    this.jobs.set(id, { id, isCompleted, order, isAnswered, forgetAt: performance.now() + leftMs });
    if (isCompleted) this.keys.add(id, order);
  }

  /** The clock was set back: without this every further start would take the job for one that has just ended, until the clock is there again. */
  private async bringToPresent(record: JobRecord): Promise<void> {
    const now = Date.now();
    const { createdAt, startedAt } = record;
    const times = { createdAt: Math.min(createdAt, now), startedAt: startedAt && Math.min(startedAt, now), finishedAt: now };
    try {
      await this.store.save({ ...record, ...times }, { durable: false });
    } catch (error) {
      this.logger.error(`the times of job ${record.id}, which lie ahead of the clock, cannot be stored anew: ${String(error)}`);
    }
  }

  private find(id: string): Ended | null {
    const ended = this.jobs.get(id);
    return ended && ended.forgetAt > performance.now() ? ended : null;
  }

  private excess(neededBytes: number): number {
    return this.store.usedBytes() + neededBytes - this.config.maxBytes;
  }

  private async makeRoom(neededBytes: number): Promise<void> {
    for (let excess = this.excess(neededBytes); excess > 0; excess = this.excess(neededBytes)) {
      const ended = this.firstToGo(excess);
      if (!ended || !(await this.forgetAll(ended))) return;
    }
  }

  /** Those that are forgotten first and have so many bytes together; null when all have not. */
  private firstToGo(bytes: number): Ended[] | null {
    const found: Ended[] = [];
    let sum = 0;
    for (const isAnswered of [true, false]) {
      for (const ended of this.jobs.values()) {
        if (ended.isAnswered !== isAnswered) continue;
        found.push(ended);
        sum += this.store.bytesOf(ended.id);
        if (sum >= bytes) return found;
      }
    }
    return null;
  }

  /** False: files of some are still there. */
  private async forgetAll(ended: readonly Ended[]): Promise<boolean> {
    let areGone = true;
    for (const one of ended) areGone = (await this.forget(one)) && areGone;
    return areGone;
  }

  private async forget(ended: Ended): Promise<boolean> {
    const { id, order } = ended;
    this.keys.forget(id, order);
    this.jobs.delete(id);
    try {
      await this.store.remove(id);
      return true;
    } catch (error) {
      // Nobody finds it any more; the next sweep tries again.
      this.jobs.set(id, { ...ended, forgetAt: -Infinity });
      this.logger.error(`the files of job ${id} cannot be removed: ${String(error)}`);
      return false;
    }
  }

  /** What is removed for one job is not counted on by another. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.lastTurn.then(work);
    this.lastTurn = turn.catch(() => undefined);
    return turn;
  }
}
