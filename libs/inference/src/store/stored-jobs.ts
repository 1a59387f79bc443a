import type { Logger } from '@nestjs/common';
import type { Dirent } from 'node:fs';
import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRecord } from '../job.types.js';
import { codeOf, messageOf } from './disk-error.js';
import { readWhole } from './durable-file.js';
import {
  corruptName,
  imageName,
  inputName,
  isImage,
  isInput,
  isJobId,
  isRemovedJob,
  recordName,
  temporarySuffix,
} from './job-files.js';
import { hasEnded, maxJsonBytes, parseRecord, type StoredRecord } from './job-record.js';

export interface FoundJob extends StoredRecord {
  path: string;
  sizes: Map<string, number>;
}

// Enough to keep the disk busy, far below any limit on open files.
const readers = 16;

// This process has run out of something; that says nothing about the job, which must not be put aside for it.
const ownTroubles: readonly unknown[] = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN'];

/** Reads every job in the folder, oldest first; takes away what a killed server left, and puts aside what cannot be read. */
export class StoredJobs {
  constructor(
    private readonly directory: string,
    private readonly logger: Logger,
  ) {}

  async read(): Promise<FoundJob[]> {
    const entries = await readdir(this.directory, { withFileTypes: true });
    const found: FoundJob[] = [];
    const next = entries[Symbol.iterator]();
    const readRest = async (): Promise<void> => {
      for (const entry of next) {
        const job = await this.readEntry(entry);
        if (job) found.push(job);
      }
    };
    await Promise.all(Array.from({ length: readers }, readRest));
    return found.sort(({ record: a }, { record: b }) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  }

  /** Null for what is no job: a leftover, something put aside, or not ours at all. */
  private async readEntry(entry: Dirent): Promise<FoundJob | null> {
    const { name } = entry;
    if (isRemovedJob(name)) await this.clear(join(this.directory, name));
    if (!isJobId(name)) return null;
    try {
      if (!entry.isDirectory()) throw new Error('not a folder');
      return await this.readJob(name);
    } catch (error) {
      if (ownTroubles.includes(codeOf(error))) throw error;
      await this.putAside(name, error);
      return null;
    }
  }

  private async readJob(id: string): Promise<FoundJob | null> {
    const path = join(this.directory, id);
    const names = await readdir(path);
    if (!names.includes(recordName) && names.every(isOfNewJob)) {
      await this.clear(path);
      return null;
    }
    const { record, reservedBytes } = await this.readRecord(path, id);
    // Of an ended job the inputs are done with; pictures of any other are from a run that did not get to its end.
    const isLeftover = hasEnded(record) ? isInput : isImage;
    const sizes = new Map<string, number>();
    for (const name of names) {
      if (name.endsWith(temporarySuffix) || isLeftover(name)) await this.clear(join(path, name));
      else await addSize(sizes, path, name);
    }
    checkFiles(record, sizes);
    return { path, record, sizes, reservedBytes: hasEnded(record) ? 0 : reservedBytes };
  }

  private async readRecord(path: string, id: string): Promise<StoredRecord> {
    try {
      return parseRecord(await readWhole(join(path, recordName), maxJsonBytes), id);
    } catch (error) {
      // The system's own messages name the file already.
      if (codeOf(error) !== undefined) throw error;
      throw new Error(`${recordName}: ${messageOf(error)}`, { cause: error });
    }
  }

  private async clear(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      this.logger.warn(`a leftover cannot be removed: ${messageOf(error)}`);
    }
  }

  private async putAside(id: string, reason: unknown): Promise<void> {
    const path = join(this.directory, id);
    const corrupt = join(this.directory, corruptName);
    try {
      await mkdir(corrupt, { recursive: true, mode: 0o700 });
      const place = await freePlace(join(corrupt, id));
      await rename(path, place);
      this.logger.error(`job ${id} cannot be read and was moved from ${path} to ${place}: ${messageOf(reason)}`);
    } catch (error) {
      this.logger.error(`job ${id} in ${path} cannot be read: ${messageOf(reason)}; nor moved away: ${messageOf(error)}`);
    }
  }
}

/** What a server that was killed while it stored a new job can have left: of any other job the record was there before. */
function isOfNewJob(name: string): boolean {
  return isInput(name) || name.endsWith(temporarySuffix);
}

async function addSize(sizes: Map<string, number>, folder: string, name: string): Promise<void> {
  const stats = await lstat(join(folder, name));
  if (stats.isFile()) sizes.set(name, stats.size);
}

/** What the record speaks of must be there: a power cut can leave empty files of a job that was not waited for. */
function checkFiles(record: JobRecord, sizes: ReadonlyMap<string, number>): void {
  if (record.state === 'completed') {
    for (const [index, { bytes }] of (record.outcome?.images ?? []).entries()) {
      const size = sizes.get(imageName(index));
      if (size !== bytes) throw new Error(`${imageName(index)}: ${bytes} bytes are missing, got ${size ?? 'no file'}`);
    }
  } else if (!hasEnded(record)) {
    for (const index of record.request.inputs.keys()) {
      if (!sizes.get(inputName(index))) throw new Error(`${inputName(index)}: no file, or an empty one`);
    }
  }
}

/** Nothing that was put aside before is replaced. */
async function freePlace(wanted: string): Promise<string> {
  for (let place = wanted, count = 1; ; place = `${wanted}.${++count}`) {
    try {
      await lstat(place);
    } catch {
      return place;
    }
  }
}
