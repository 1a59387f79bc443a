import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { ServiceError } from '../service.error.js';
import { codeOf, messageOf } from './disk-error.js';

// Rounding to blocks, folders, records that grow with their events; and whatever else writes to this disk.
const marginBytes = 8 * 1024 * 1024;

const fullCodes: readonly unknown[] = ['ENOSPC', 'EDQUOT'];
// The folder is gone, or a file stands above it: somebody has removed it, or its disk is not there.
const missingCodes: readonly unknown[] = ['ENOENT', 'ENOTDIR'];
// The disk is broken, the kernel has made it read-only because it is, its server is away, or this user may not write there any more: no
// job can be stored, whoever sends it.
const brokenCodes: readonly unknown[] = ['EIO', 'EROFS', 'EACCES', 'EPERM', 'ESTALE', 'ENOTCONN'];

/** Why a job is not stored: one message for the client, with no path, one for the operator. */
export class StorageRefusal extends Error {
  override readonly name = 'StorageRefusal';

  constructor(
    message: string,
    readonly forLog: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  toServiceError(): ServiceError {
    return new ServiceError('STORAGE_FULL', `the job was not accepted: ${this.message}`, { cause: this });
  }
}

/** @throws StorageRefusal when the jobs would have more than they may */
export function checkLimit(neededBytes: number, usedBytes: number, maxBytes: number): void {
  if (usedBytes + neededBytes <= maxBytes) return;
  const message =
    `it needs ${neededBytes} bytes with its results, and of the ${maxBytes} that all jobs together may have (jobs.maxBytes) ` +
    `${usedBytes} are taken`;
  throw new StorageRefusal(message, message);
}

/** How the disk of the jobs is at one moment. */
export interface DiskState {
  /** Bytes; null when it does not tell, as some network and user-space file systems. */
  free: number | null;
  /** Why no new job would be stored; null: nothing speaks against it. */
  refusal: StorageRefusal | null;
}

/** Whether the disk takes jobs beside what is promised already. Never rejects: what says nothing of the disk, its next use will say. */
export async function lookAtDisk(folder: string, promisedBytes: number): Promise<DiskState> {
  try {
    // A read-only disk has free space too. With the dot a file in the folder's place is ENOTDIR.
    await access(`${folder}/.`, constants.W_OK | constants.X_OK);
    const { bavail, blocks, bsize } = await statfs(folder);
    const free = blocks === 0 ? null : bavail * bsize;
    return { free, refusal: shortage(free, promisedBytes) };
  } catch (error) {
    const refusal = refusalOf(error);
    return { free: null, refusal: refusal instanceof StorageRefusal ? refusal : null };
  }
}

function shortage(freeBytes: number | null, promisedBytes: number): StorageRefusal | null {
  if (freeBytes === null || freeBytes >= promisedBytes + marginBytes) return null;
  return new StorageRefusal(
    "the server's disk has too little free space",
    `${freeBytes} bytes are free on the disk, ${promisedBytes} are promised to jobs, and ${marginBytes} stay free`,
  );
}

/** A refusal when the disk is to blame, else the error itself. */
export function refusalOf(error: unknown): unknown {
  const code = codeOf(error);
  const because = (message: string) => new StorageRefusal(message, messageOf(error), { cause: error });
  if (fullCodes.includes(code)) return because("the server's disk is full");
  if (missingCodes.includes(code)) return because("the server's folder for jobs is not there");
  if (brokenCodes.includes(code)) return because("the server's disk takes no files");
  return error;
}
