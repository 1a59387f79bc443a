import { Logger } from '@nestjs/common';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobEvent, JobRecord } from '../job.types.js';
import { ServiceError } from '../service.error.js';
import { messageOf } from './disk-error.js';
import { writeTemporary, type FileContent } from './durable-file.js';
import { FolderLock } from './folder-lock.js';
import { imageName, inputName, isInput, isJobId, pixelsName, previewEventId, previewName, recordName } from './job-files.js';
import { JobFolder, notFound } from './job-folder.js';
import { encodeEvent, encodeRecord, parseEvent, parseRecord } from './job-record.js';
import type { JobStore, OpenFile, StoreOptions } from './job-store.js';
import { prepareDirectory } from './jobs-directory.js';
import { checkLimit, lookAtDisk, refusalOf, StorageRefusal, type DiskState } from './storage-limit.js';
import { StoreUsage } from './store-usage.js';
import { StoredJobs } from './stored-jobs.js';

export interface FileJobStoreOptions {
  directory: string;
  /** Of all jobs together, with what is kept free for their results. */
  maxBytes: number;
  /** Hears how long each durable change waited for the disk. */
  onSync?(ms: number): void;
}

/** One folder a job. Every change is a rename, so that a killed server leaves the state before it or the state after it. */
export class FileJobStore implements JobStore {
  private readonly jobs = new Map<string, JobFolder>();
  private readonly usage = new StoreUsage();
  private readonly onSync: (ms: number) => void;
  private lock: FolderLock | null = null;
  private opening: Promise<JobRecord[]> | null = null;
  private isOpen = false;
  /** The folder's real one. */
  private path = '';

  constructor(
    private readonly options: FileJobStoreOptions,
    private readonly logger = new Logger(FileJobStore.name),
  ) {
    this.onSync = (ms) => options.onSync?.(ms);
  }

  async open(): Promise<JobRecord[]> {
    if (this.opening) throw new Error('the job store is open already');
    this.opening = this.takeOver();
    try {
      return await this.opening;
    } catch (error) {
      this.release();
      throw new Error(`jobs.directory: ${this.options.directory} cannot be used: ${messageOf(error)}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.opening?.catch(() => undefined);
    this.isOpen = false;
    await Promise.all([...this.jobs.values()].map((job) => job.idle()));
    this.release();
  }

  async create(
    record: JobRecord,
    inputs: readonly Buffer[],
    { durable, reserveBytes }: StoreOptions & { reserveBytes: number },
  ): Promise<void> {
    const { id } = record;
    this.assertOpen();
    // Only a name of this form ever becomes a path; all other calls look their job up.
    if (!isJobId(id)) throw new Error('the id of a job must be a UUID in lower case');
    if (this.jobs.has(id)) throw new Error(`job ${id} is in the store already`);
    const files = newJobFiles(record, inputs, reserveBytes);
    try {
      await this.admit(id, files, durable, reserveBytes);
    } catch (error) {
      this.forget(id);
      throw this.refuse(error);
    }
  }

  neededBytes(record: JobRecord, inputs: readonly Buffer[], reserveBytes: number): number {
    return sizeOf(newJobFiles(record, inputs, reserveBytes)) + reserveBytes;
  }

  async save(record: JobRecord, { durable }: StoreOptions): Promise<void> {
    const job = this.find(record.id);
    const file = recordFile(record, job.reservedBytes);
    await job.inTurn(() => job.put([file], durable));
  }

  async finish(record: JobRecord, images: readonly Buffer[], { durable }: StoreOptions): Promise<void> {
    const job = this.find(record.id);
    const pictures = images.map((bytes, index) => ({ name: imageName(index), bytes }));
    const file = recordFile(record, 0);
    await job.inTurn(async () => {
      await job.put([...pictures, file], durable);
      job.reservedBytes = 0;
      // The job has ended all the same: the next start takes them away.
      await job.drop(job.names().filter(isInput)).catch((error: unknown) => this.warnOfLeftover(error));
    });
  }

  async addPreview(jobId: string, event: JobEvent): Promise<void> {
    const job = this.find(jobId);
    if (!Number.isSafeInteger(event.id) || event.id < 0)
      throw new Error(`the id of an event must be a whole number, got ${event.id}`);
    const file = { name: previewName(event.id), bytes: encodeEvent(event) };
    await job.inTurn(() => job.putExtra(file));
  }

  async readPreviews(jobId: string): Promise<JobEvent[]> {
    const job = this.find(jobId);
    const ids = job.names().map(previewEventId);
    const inOrder = ids.filter((id) => id !== null).sort((a, b) => a - b);
    const events: JobEvent[] = [];
    for (const id of inOrder) {
      try {
        events.push(parseEvent(await job.readJson(previewName(id))));
      } catch (error) {
        // The job is as good without it.
        this.logger.warn(`preview ${id} of job ${jobId} cannot be read: ${messageOf(error)}`);
      }
    }
    return events;
  }

  async readRecord(jobId: string): Promise<JobRecord> {
    return parseRecord(await this.find(jobId).readJson(recordName), jobId).record;
  }

  async readInput(jobId: string, index: number): Promise<Buffer> {
    return this.find(jobId).readPicture(inputName(index));
  }

  async readImage(jobId: string, index: number): Promise<Buffer> {
    return this.find(jobId).readPicture(imageName(index));
  }

  async openImage(jobId: string, index: number): Promise<OpenFile> {
    return this.find(jobId).openPicture(imageName(index));
  }

  async withPixelFile<T>(jobId: string, bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
    const path = join(this.find(jobId).path, pixelsName);
    try {
      await writeTemporary(path, bytes).catch((error: unknown) => this.failRun(jobId, error));
      return await use(path);
    } finally {
      await rm(path, { force: true }).catch((error: unknown) => this.warnOfLeftover(error));
    }
  }

  async remove(jobId: string): Promise<void> {
    this.assertOpen();
    const job = this.jobs.get(jobId);
    await job?.inTurn(async () => {
      await this.erase(job);
      this.forget(jobId);
    });
  }

  usedBytes(): number {
    return this.usage.total;
  }

  async lookAtDisk(): Promise<DiskState> {
    return this.isOpen ? lookAtDisk(this.path, this.usage.reserved) : { free: null, refusal: null };
  }

  bytesOf(jobId: string): number {
    return this.find(jobId).bytes;
  }

  private async takeOver(): Promise<JobRecord[]> {
    this.path = await prepareDirectory(this.options.directory, this.logger);
    this.lock = FolderLock.take(this.path);
    const found = await new StoredJobs(this.path, this.logger).read();
    for (const { record, path, sizes, reservedBytes } of found) {
      const job = new JobFolder(path, this.onSync, this.usage, sizes);
      job.reservedBytes = reservedBytes;
      this.jobs.set(record.id, job);
    }
    this.isOpen = true;
    return found.map(({ record }) => record);
  }

  private release(): void {
    this.lock?.release();
    this.lock = null;
    this.opening = null;
    this.jobs.clear();
  }

  /** @throws StorageRefusal, or what the disk says */
  private async admit(id: string, files: readonly FileContent[], durable: boolean, reserveBytes: number): Promise<void> {
    const job = new JobFolder(join(this.path, id), this.onSync, this.usage);
    const neededBytes = sizeOf(files) + reserveBytes;
    checkLimit(neededBytes, this.usedBytes(), this.options.maxBytes);
    // The files are promised with the rest until they are there, so that jobs that come at the same time see each other.
    job.reservedBytes = neededBytes;
    this.jobs.set(id, job);
    const { reserved: promisedBytes } = this.usage;
    await job.inTurn(async () => {
      const { refusal } = await lookAtDisk(this.path, promisedBytes);
      if (refusal) throw refusal;
      await job.make();
      try {
        await job.put(files, durable);
      } catch (error) {
        await this.erase(job).catch((failure: unknown) => this.warnOfLeftover(failure));
        throw error;
      }
      job.reservedBytes = reserveBytes;
    });
  }

  private forget(id: string): void {
    this.jobs.get(id)?.leaveStore();
    this.jobs.delete(id);
  }

  private async erase(job: JobFolder): Promise<void> {
    try {
      await job.erase();
    } catch (error) {
      if (!job.isErased) throw error;
      this.warnOfLeftover(error);
    }
  }

  /** For the client without a path, for the log with it. Any other error is as it was. */
  private refuse(error: unknown): unknown {
    const reason = refusalOf(error);
    if (!(reason instanceof StorageRefusal)) return error;
    this.logger.warn(`a job was not stored in ${this.path}: ${reason.forLog}`);
    return reason.toServiceError();
  }

  private failRun(jobId: string, error: unknown): never {
    const reason = refusalOf(error);
    if (!(reason instanceof StorageRefusal)) throw error;
    this.logger.warn(`pixels for job ${jobId} cannot be written: ${reason.forLog}`);
    throw new ServiceError('STORAGE_FULL', `the picture cannot be handed to the engine: ${reason.message}`, { cause: reason });
  }

  private warnOfLeftover(error: unknown): void {
    this.logger.warn(`a leftover cannot be removed: ${messageOf(error)}`);
  }

  private assertOpen(): void {
    if (!this.isOpen) throw new Error('the job store is not open');
  }

  private find(jobId: string): JobFolder {
    this.assertOpen();
    const job = this.jobs.get(jobId);
    if (!job) throw notFound();
    return job;
  }
}

/** The record last: it tells of the others. */
function newJobFiles(record: JobRecord, inputs: readonly Buffer[], reserveBytes: number): FileContent[] {
  return [...inputs.map((bytes, index) => ({ name: inputName(index), bytes })), recordFile(record, reserveBytes)];
}

function sizeOf(files: readonly FileContent[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

function recordFile(record: JobRecord, reservedBytes: number): FileContent {
  return { name: recordName, bytes: encodeRecord(record, reservedBytes) };
}
