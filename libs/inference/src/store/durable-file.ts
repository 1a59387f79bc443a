import { constants } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { temporarySuffix } from './job-files.js';

export interface FileContent {
  name: string;
  bytes: Buffer;
}

/** What must be on the disk, beside the contents of the files, before a change is done. */
export interface DiskWait {
  /** Other files and folders, by their paths, which must be there before the new names are. */
  before: readonly string[];
  /** The new names too. */
  names: boolean;
}

// A link in the place of a file is nobody's of this server: ELOOP. NONBLOCK: a pipe there would be waited for without end.
const noLinks = constants.O_NOFOLLOW | constants.O_NONBLOCK;
const writeNew = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | noLinks;

/**
 * Each file gets its content at once, in the given order: whoever looks, also after a kill, sees the old one or the new one whole.
 * With `wait` also after a power cut. Answers the milliseconds that it waited for the disk.
 */
export async function replaceFiles(folder: string, files: readonly FileContent[], wait: DiskWait | null): Promise<number> {
  const staged = files.map(({ name }) => join(folder, name + temporarySuffix));
  try {
    const contentsMs = await stage(files, staged, wait);
    for (const [index, { name }] of files.entries()) await rename(staged[index] ?? '', join(folder, name));
    return wait?.names ? contentsMs + (await syncAll([folder])) : contentsMs;
  } catch (error) {
    await Promise.allSettled(staged.map((path) => rm(path, { force: true })));
    throw error;
  }
}

async function stage(files: readonly FileContent[], paths: readonly string[], wait: DiskWait | null): Promise<number> {
  const handles: FileHandle[] = [];
  try {
    for (const [index, { bytes }] of files.entries()) {
      const handle = await open(paths[index] ?? '', writeNew, 0o600);
      handles.push(handle);
      await handle.writeFile(bytes);
    }
    return wait ? await syncAll(wait.before, handles) : 0;
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

/** For as long as this server runs: nothing waits for the disk. */
export async function writeTemporary(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, writeNew, 0o600);
  try {
    await handle.writeFile(bytes);
  } finally {
    await handle.close();
  }
}

/** All at the same time: the file system writes its journal once for all of them. Answers the milliseconds it took. */
export async function syncAll(paths: readonly string[], handles: readonly FileHandle[] = []): Promise<number> {
  const started = performance.now();
  // Every one has ended before a handle may be closed, also when one fails.
  const ends = await Promise.allSettled([...handles.map((handle) => handle.sync()), ...paths.map(syncPath)]);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return performance.now() - started;
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | noLinks);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @throws Error when it is no file, or one of more than `maxBytes` */
export function readWhole(path: string, maxBytes: number): Promise<Buffer> {
  return read(path, (size) => {
    if (size > maxBytes) throw new Error(`${size} bytes, at most ${maxBytes} are allowed`);
  });
}

/** @throws Error when it is no file, or one of another size: somebody else has changed it */
export function readExactly(path: string, bytes: number): Promise<Buffer> {
  return read(path, exactly(path, bytes));
}

function exactly(path: string, bytes: number) {
  return (size: number) => {
    if (size !== bytes) throw new Error(`${path}: ${bytes} bytes were stored, ${size} are there`);
  };
}

/**
 * The same, of which a few pieces are in memory at a time.
 * @throws Error when it is no file, or one of another size: somebody else has changed it
 */
export async function openExactly(path: string, bytes: number): Promise<Readable> {
  const handle = await open(path, constants.O_RDONLY | noLinks);
  try {
    await checkFile(handle, exactly(path, bytes));
    return handle.createReadStream();
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function read(path: string, checkSize: (size: number) => void): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | noLinks);
  try {
    await checkFile(handle, checkSize);
    const bytes = await handle.readFile();
    // It may have been cut since.
    checkSize(bytes.length);
    return bytes;
  } finally {
    await handle.close();
  }
}

async function checkFile(handle: FileHandle, checkSize: (size: number) => void): Promise<void> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw new Error('not a file');
  checkSize(stats.size);
}
