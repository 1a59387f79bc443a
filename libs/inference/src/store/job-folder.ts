import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ServiceError } from '../service.error.js';
import { codeOf } from './disk-error.js';
import { openExactly, readExactly, readWhole, replaceFiles, type DiskWait, type FileContent } from './durable-file.js';
import { isInput, temporarySuffix } from './job-files.js';
import { maxJsonBytes } from './job-record.js';
import type { OpenFile } from './job-store.js';
import type { StoreUsage } from './store-usage.js';

/** One job's files: what they take, and whose turn it is to change them. */
export class JobFolder {
  private readonly sizes = new Map<string, number>();
  private reserved = 0;
  /** False: it is out of the store, and counts no more. */
  private counts = true;
  /** Somebody may have been told that the job outlives a power cut; of one that an earlier server left that is not known. */
  private promised: boolean;
  /** The folder's own name and the inputs do outlive it. */
  private onDisk = false;
  private erased = false;
  private lastTurn: Promise<void> = Promise.resolve();

  constructor(
    readonly path: string,
    private readonly onSync: (ms: number) => void,
    private readonly usage: StoreUsage,
    found: ReadonlyMap<string, number> | null = null,
  ) {
    for (const [name, size] of found ?? []) this.setSize(name, size);
    this.promised = found !== null;
  }

  /** Of the files. */
  get bytes(): number {
    let sum = 0;
    for (const size of this.sizes.values()) sum += size;
    return sum;
  }

  /** Kept free for what is still to come. */
  get reservedBytes(): number {
    return this.reserved;
  }

  set reservedBytes(bytes: number) {
    if (this.counts) this.usage.reserved += bytes - this.reserved;
    this.reserved = bytes;
  }

  /** It is no job of the store any more. */
  leaveStore(): void {
    if (!this.counts) return;
    this.usage.files -= this.bytes;
    this.usage.reserved -= this.reserved;
    this.counts = false;
  }

  names(): string[] {
    return [...this.sizes.keys()];
  }

  /** Runs `change` when every earlier one has ended, so that two never cross. */
  async inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.lastTurn.then(change);
    this.lastTurn = turn.catch(() => undefined);
    return turn;
  }

  /** Every change has ended. */
  async idle(): Promise<void> {
    await this.lastTurn;
  }

  async make(): Promise<void> {
    await mkdir(this.path, { mode: 0o700 });
  }

  /**
   * Writes files in the given order; the last is to be the one that tells of the others.
   *
   * Durable takes two waits. First the contents: a name must never come back after a power cut without them. With them, once a job, its
   * folder's own name in the parent; and inputs that were written without waiting. Then the names in the folder, which the renames made.
   * Removed files are not waited for: the next start removes them again.
   *
   * A job that was waited for once waits for contents ever after: a file system may keep a rename and lose what was renamed, and a job
   * that is told to be safe would be lost by a change that nobody needed to be.
   */
  async put(files: readonly FileContent[], durable: boolean): Promise<void> {
    const inputs = this.names().filter(isInput);
    const before = this.onDisk ? [] : [dirname(this.path), ...inputs.map((name) => join(this.path, name))];
    if (durable) {
      this.onSync(await this.replace(files, { before, names: true }));
      this.promised = this.onDisk = true;
    } else {
      await this.replace(files, this.promised ? { before: [], names: false } : null);
    }
  }

  /** What the job is as good without: no change of it waits for the disk. */
  async putExtra(file: FileContent): Promise<void> {
    await this.replace([file], null);
  }

  /**
   * A file that is written once: a picture. One that was cut behind the server's back would be a broken picture, or a client's fault.
   * @throws ServiceError NOT_FOUND; Error when it is not as it was stored
   */
  readPicture(name: string): Promise<Buffer> {
    return this.read(name, (path, bytes) => readExactly(path, bytes));
  }

  /** The same as a stream, which somebody must read or destroy. */
  async openPicture(name: string): Promise<OpenFile> {
    const length = this.sizes.get(name) ?? 0;
    return { length, stream: await this.read(name, openExactly) };
  }

  /**
   * Its size is not looked at, for a record may be replaced at this moment; JSON that was cut is none any more.
   * @throws ServiceError NOT_FOUND
   */
  readJson(name: string): Promise<Buffer> {
    return this.read(name, (path) => readWhole(path, maxJsonBytes));
  }

  async drop(names: readonly string[]): Promise<void> {
    for (const name of names) {
      await rm(join(this.path, name), { force: true });
      this.setSize(name, null);
    }
  }

  /**
   * Away under another name first: a folder half removed never looks like a job. Not waited for: an ended job that a power cut brings
   * back is removed again.
   */
  async erase(): Promise<void> {
    if (this.erased) return;
    const leaving = this.path + temporarySuffix;
    await rename(this.path, leaving).catch((error: unknown) => {
      // Somebody has removed it by hand.
      if (codeOf(error) !== 'ENOENT') throw error;
    });
    this.erased = true;
    await rm(leaving, { recursive: true, force: true });
  }

  /** It is no job any more, whatever may be left of it. */
  get isErased(): boolean {
    return this.erased;
  }

  private async read<T>(name: string, read: (path: string, bytes: number) => Promise<T>): Promise<T> {
    const bytes = this.sizes.get(name);
    if (bytes === undefined) throw notFound();
    try {
      return await read(join(this.path, name), bytes);
    } catch (error) {
      throw this.erased ? notFound() : error;
    }
  }

  private async replace(files: readonly FileContent[], wait: DiskWait | null): Promise<number> {
    if (this.erased) throw notFound();
    const waitedMs = await replaceFiles(this.path, files, wait);
    for (const { name, bytes } of files) this.setSize(name, bytes.length);
    return waitedMs;
  }

  /** Null: the file is gone. */
  private setSize(name: string, size: number | null): void {
    if (this.counts) this.usage.files += (size ?? 0) - (this.sizes.get(name) ?? 0);
    if (size === null) this.sizes.delete(name);
    else this.sizes.set(name, size);
  }
}

export function notFound(): ServiceError {
  return new ServiceError('NOT_FOUND', 'there is no such job, or not this file of it');
}
