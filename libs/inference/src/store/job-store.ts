import type { Readable } from 'node:stream';
import type { JobEvent, JobRecord } from '../job.types.js';
import type { DiskState } from './storage-limit.js';

/** Injection token of the JobStore. */
export const JOB_STORE = Symbol('JobStore');

export interface StoreOptions {
  /** Waits for the disk: whoever is told of it finds it after a power cut too. */
  durable: boolean;
}

/** A few pieces of it are in memory at a time. */
export interface OpenFile {
  /** In bytes. */
  length: number;
  stream: Readable;
}

/** Jobs as files: what is told to be accepted is found again by the next server. */
export interface JobStore {
  /**
   * Takes the folder for this process and gives every job that is in it.
   * @throws Error, one line that names jobs.directory, when another server has it or it cannot be used
   */
  open(): Promise<JobRecord[]>;
  /** Gives the folder back. Twice is fine. */
  close(): Promise<void>;
  /**
   * A new job with its files, all or nothing. `reserveBytes` are kept free for its results until `finish` or `remove`.
   * @throws ServiceError STORAGE_FULL
   */
  create(record: JobRecord, inputs: readonly Buffer[], options: StoreOptions & { reserveBytes: number }): Promise<void>;
  /** What `create` takes of the room for all jobs. */
  neededBytes(record: JobRecord, inputs: readonly Buffer[], reserveBytes: number): number;
  /** The job has changed. */
  save(record: JobRecord, options: StoreOptions): Promise<void>;
  /** The job has ended: its pictures, then its record. Inputs are removed. */
  finish(record: JobRecord, images: readonly Buffer[], options: StoreOptions): Promise<void>;
  /** A preview, by the event that tells it. */
  addPreview(jobId: string, event: JobEvent): Promise<void>;
  /** Oldest first. */
  readPreviews(jobId: string): Promise<JobEvent[]>;
  readRecord(jobId: string): Promise<JobRecord>;
  readInput(jobId: string, index: number): Promise<Buffer>;
  readImage(jobId: string, index: number): Promise<Buffer>;
  /** The same as a stream, which somebody must read or destroy. */
  openImage(jobId: string, index: number): Promise<OpenFile>;
  /**
   * Pixels of an input as a file, for a process beside this one, until `use` has settled.
   * @throws ServiceError STORAGE_FULL
   */
  withPixelFile<T>(jobId: string, bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T>;
  remove(jobId: string): Promise<void>;
  /** Of all jobs, with what is reserved. */
  usedBytes(): number;
  /** How its disk is now, with what is promised to jobs. Never rejects. */
  lookAtDisk(): Promise<DiskState>;
  bytesOf(jobId: string): number;
}
