import type { Logger } from '@nestjs/common';
import { chmod, mkdir, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { codeOf } from './disk-error.js';
import { syncAll } from './durable-file.js';
import { corruptName, isJobId, isRemovedJob, lockName } from './job-files.js';

/**
 * Makes the folder, with the ones above it, for this user alone; answers its real path.
 *
 * One that is there is closed to others only when it belongs to this user and holds nothing but jobs: nobody wants their /tmp closed by
 * a wrong setting. Else a line in the log tells of it. The jobs' own folders and files are closed in any case.
 */
export async function prepareDirectory(directory: string, logger: Logger): Promise<string> {
  const made = await makeFolders(directory);
  const path = await realpath(directory);
  if (made === undefined) await closeToOthers(path, logger);
  // Once a folder: without it a power cut could take the whole folder away, and with it every job that was waited for.
  else await syncAll(foldersBetween(dirname(resolve(made)), dirname(path)));
  return path;
}

/**
 * The topmost one that was made; undefined when all were there. Node's own recursion takes a read-only disk for a missing folder, and
 * does not end below /proc.
 */
async function makeFolders(directory: string): Promise<string | undefined> {
  const parent = dirname(directory);
  try {
    await mkdir(directory, { mode: 0o700 });
    return directory;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') {
      if ((await stat(directory)).isDirectory()) return undefined;
      throw new Error('it is not a folder', { cause: error });
    }
    if (codeOf(error) !== 'ENOENT' || parent === directory) throw error;
  }
  const top = await makeFolders(parent);
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    // Another server that starts now has made it: whose it is, the lock tells.
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  return top ?? directory;
}

async function closeToOthers(path: string, logger: Logger): Promise<void> {
  const { mode, uid } = await stat(path);
  if ((mode & 0o077) === 0) return;
  const openMode = (mode & 0o777).toString(8).padStart(4, '0');
  const names = await readdir(path);
  if (uid === process.getuid?.() && names.every(isOurs)) {
    await chmod(path, 0o700);
    logger.warn(`jobs.directory: ${path} was open to other users (mode ${openMode}), its mode is 0700 now`);
  } else {
    logger.warn(
      `jobs.directory: ${path} is open to other users (mode ${openMode}), who can see when jobs come, but not what is in them`,
    );
  }
}

function isOurs(name: string): boolean {
  return name === lockName || name === corruptName || isJobId(name) || isRemovedJob(name);
}

/** `top`, `bottom` and all between. */
function foldersBetween(top: string, bottom: string): string[] {
  return bottom.length > top.length ? [...foldersBetween(top, dirname(bottom)), bottom] : [top];
}
