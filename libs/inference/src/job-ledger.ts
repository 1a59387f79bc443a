import { configTokens, type AppConfig } from '@app/config';
import type { ImageFile } from '@app/image-processing';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Readable } from 'node:stream';
import { IdempotencyIndex } from './idempotency-index.js';
import type { PreviewData } from './job-events.js';
import { isEnd, Job } from './job.js';
import type { JobEvent, JobImage, JobRecord, JobResult, OpenImage } from './job.types.js';
import { JobShelf } from './job-shelf.js';
import type { JobView } from './job-view.js';
import { assertStorable, largestResult } from './result-size.js';
import { JOB_STORE, type JobStore } from './store/job-store.js';

/** A job that has not ended, or whose end could not be stored yet. */
interface Live {
  job: Job;
  /** Its files, while they are nowhere else. */
  result: JobResult | null;
  /** Storing its end has failed. */
  isHeld: boolean;
  /** Settles when it has ended and that is stored, or is left to the next server. */
  ended: Promise<JobResult>;
  /** The same, never rejected. */
  over: Promise<void>;
}

const longestSweepMs = 30_000;

/** Every job that the service knows of, from acceptance until it is forgotten. */
@Injectable()
export class JobLedger implements OnApplicationShutdown {
  readonly keys = new IdempotencyIndex((id) => this.mayBeJoined(id));
  private readonly logger = new Logger(JobLedger.name);
  private readonly live = new Map<string, Live>();
  private readonly shelf: JobShelf;
  private readonly sweeper: NodeJS.Timeout;
  private sweeping: Promise<void> | null = null;

  constructor(
    @Inject(JOB_STORE) private readonly store: JobStore,
    @Inject(configTokens.jobs) private readonly config: Pick<AppConfig['jobs'], 'ttlMs' | 'maxBytes'>,
  ) {
    this.shelf = new JobShelf(store, this.keys, config);
    this.sweeper = setInterval(() => void this.sweep(), Math.min(longestSweepMs, config.ttlMs)).unref();
  }

  /** When the port is closed: until then somebody may ask. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.sweeper);
    // Ends that are kept in memory have this last chance.
    await this.sweeping;
    await this.sweep();
    await this.store.close();
  }

  /** Takes the folder; gives the jobs that an earlier server left unfinished, the oldest first. */
  async open(): Promise<Job[]> {
    const records = await this.store.open();
    const ended = records.filter(({ state }) => isEnd(state)).sort((a, b) => (a.finishedAt ?? 0) - (b.finishedAt ?? 0));
    for (const record of ended) await this.shelf.putBack(record);
    await this.sweep();
    const unfinished = records.filter(({ state }) => !isEnd(state)).sort((a, b) => a.createdAt - b.createdAt);
    return Promise.all(unfinished.map((record) => this.restore(record)));
  }

  /**
   * Stores a new job; on the disk, when the next server is to find it. Ended jobs make room, in the shelf's order.
   * @throws ServiceError STORAGE_FULL; REQUEST_TOO_LARGE when all of it could go and would not do
   */
  async add(job: Job, files: readonly ImageFile[]): Promise<void> {
    const inputs = files.map(({ bytes }) => bytes);
    const reserveBytes = largestResult(job);
    const record = job.toRecord();
    const options = { durable: job.isDurable, reserveBytes };
    const neededBytes = this.store.neededBytes(record, inputs, reserveBytes);
    assertStorable(job, neededBytes, this.config.maxBytes);
    await this.shelf.createInRoom(neededBytes, () => this.store.create(record, inputs, options));
  }

  /** From now on the job is found; `ended` settles when it has ended and that is stored. */
  track(job: Job, ended: Promise<JobResult>): void {
    const over = ended.then(
      () => undefined,
      () => undefined,
    );
    this.live.set(job.id, { job, result: null, isHeld: false, ended, over });
  }

  liveJob(id: string): Job | null {
    return this.live.get(id)?.job ?? null;
  }

  /** How a job that has not been stored as ended ends. */
  ended(id: string): Promise<JobResult> | null {
    return this.live.get(id)?.ended ?? null;
  }

  /** Resolves when the job has ended and that is stored. */
  async over(id: string): Promise<void> {
    await this.live.get(id)?.over;
  }

  /** As it stands; of an ended job only what is stored. Null: it never was, or is forgotten. */
  async record(id: string): Promise<JobRecord | null> {
    const live = this.live.get(id);
    if (live?.job.hasEnded) await live.over;
    const still = this.live.get(id);
    if (still) return still.job.toRecord();
    return this.shelf.has(id) ? this.readOrNull(id, () => this.store.readRecord(id)) : null;
  }

  /** Events of a job that has ended. */
  async eventsOfEnded(id: string): Promise<JobEvent[]> {
    const record = await this.record(id);
    const previews = (await this.readOrNull(id, () => this.store.readPreviews(id))) ?? [];
    return record ? [...record.events.latest, ...previews].sort((a, b) => a.id - b.id) : [];
  }

  async image(record: JobRecord, index: number): Promise<JobImage | null> {
    const info = record.outcome?.images[index];
    if (!info) return null;
    const held = this.live.get(record.id)?.result?.images[index];
    if (held) return held;
    const bytes = await this.readOrNull(record.id, () => this.store.readImage(record.id, index));
    return bytes && { ...info, bytes };
  }

  /** The same as a stream, which somebody must read or destroy. */
  async openImage(record: JobRecord, index: number): Promise<OpenImage | null> {
    const info = record.outcome?.images[index];
    if (!info) return null;
    const held = this.live.get(record.id)?.result?.images[index];
    if (held) return { format: held.format, length: held.bytes.length, stream: Readable.from([held.bytes]) };
    const file = await this.readOrNull(record.id, () => this.store.openImage(record.id, index));
    return file && { format: info.format, ...file };
  }

  expiryOf({ id, finishedAt }: JobRecord): Pick<JobView, 'expiresAt' | 'keptMs'> {
    if (finishedAt === null) return { expiresAt: null, keptMs: null };
    const { ttlMs } = this.config;
    // Of an end that is not stored yet the time has not begun.
    return { expiresAt: finishedAt + ttlMs, keptMs: this.live.has(id) ? ttlMs : this.shelf.keptMs(id) };
  }

  readInputs({ id, request }: Job): Promise<ImageFile[]> {
    return Promise.all(request.inputs.map(async (field, index) => ({ field, bytes: await this.store.readInput(id, index) })));
  }

  withPixelFile<T>({ id }: Job, bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
    return this.store.withPixelFile(id, bytes, use);
  }

  /** Before a run begins: how often it has, so that a job that takes the server down is not run for ever. */
  async noteRun(job: Job): Promise<void> {
    if (job.isDurable) await this.trySave(job);
  }

  /** Somebody else wants it too: what was stored when it was accepted is enough to find it again. */
  async noteOrder(job: Job): Promise<void> {
    await this.trySave(job);
  }

  /** Stored before it is told: its index is never told twice, by the next server neither. */
  async addPreview(job: Job, data: PreviewData): Promise<void> {
    const event = job.events.newPreview(data);
    await this.store.addPreview(job.id, event);
    // It may have ended meanwhile, without its run.
    if (!job.hasEnded) job.events.tellPreview(event);
  }

  /** The job has ended, or is left to the next server. What cannot be stored now stays in memory and is tried again. */
  async settle(job: Job, result: JobResult | null): Promise<void> {
    if (job.state === 'failed' || job.state === 'cancelled') this.keys.forget(job.id, job.order);
    if (!job.hasEnded) {
      await this.trySave(job);
      return;
    }
    const live = this.live.get(job.id);
    if (live) live.result = result;
    await this.storeEnd(job, result);
  }

  /** Whoever reads a job's events looks again. */
  tellReaders(): void {
    for (const { job } of this.live.values()) job.events.changed();
  }

  private async storeEnd(job: Job, result: JobResult | null): Promise<void> {
    const durable = job.isDurable;
    try {
      const record = job.toRecord();
      const files = result?.images.map(({ bytes }) => bytes) ?? [];
      await this.store.finish(record, files, { durable });
      this.live.delete(job.id);
      this.shelf.put(record);
    } catch (error) {
      const live = this.live.get(job.id);
      if (live) live.isHeld = true;
      this.logger.error(`the end of job ${job.id} cannot be stored and is kept in memory: ${String(error)}`);
    }
  }

  private async trySave(job: Job): Promise<void> {
    try {
      await this.store.save(job.toRecord(), { durable: job.isDurable });
    } catch (error) {
      this.logger.error(`job ${job.id} cannot be stored as it stands: ${String(error)}`);
    }
  }

  private async restore(record: JobRecord): Promise<Job> {
    const job = Job.restored(record, await this.store.readPreviews(record.id));
    // Events get ids of this server's own: the next one must know of it, also when this one ends before there is more to note.
    if (job.isDurable) await this.trySave(job);
    this.keys.add(job.id, job.order);
    return job;
  }

  private mayBeJoined(id: string): boolean {
    const live = this.live.get(id);
    return live ? !['failed', 'cancelled'].includes(live.job.state) : this.shelf.hasCompleted(id);
  }

  private async readOrNull<T>(id: string, read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      // It was swept away between two looks.
      if (!this.shelf.has(id)) return null;
      throw error;
    }
  }

  private sweep(): Promise<void> {
    this.sweeping ??= this.sweepOnce().finally(() => (this.sweeping = null));
    return this.sweeping;
  }

  private async sweepOnce(): Promise<void> {
    for (const { job, result } of [...this.live.values()].filter(({ isHeld }) => isHeld)) await this.storeEnd(job, result);
    await this.shelf.sweep();
  }
}
