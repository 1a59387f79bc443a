import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from './disk-error.js';
import { lockName } from './job-files.js';

// Of util-linux, when another has the lock; every other failure is above 60.
const takenStatus = 1;

/**
 * A folder of this process alone. Node has no flock(2), so flock(1) takes it on a descriptor that it inherits: the lock stays with
 * the open file, and the kernel frees it when this process ends, however it ends. Node opens files close-on-exec, so a child that
 * outlives this process does not hold it.
 */
export class FolderLock {
  private constructor(private descriptor: number | null) {}

  /** @throws Error that says why not */
  static take(folder: string): FolderLock {
    // A descriptor, not a FileHandle: nothing closes it but release().
    const descriptor = openSync(join(folder, lockName), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    try {
      const { error, status, stderr } = spawnSync('flock', ['--nonblock', '3'], {
        stdio: ['ignore', 'ignore', 'pipe', descriptor],
        encoding: 'utf8',
      });
      if (codeOf(error) === 'ENOENT') throw new Error('the command flock (util-linux) is not installed');
      if (error) throw error;
      if (status === takenStatus) throw new Error('another server uses it');
      if (status !== 0)
        throw new Error(`flock failed: ${stderr.trim().replaceAll(/\s+/g, ' ') || `exit status ${status ?? 'none'}`}`);
      return new FolderLock(descriptor);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  /** Twice is fine. The file stays: whoever removed it could take a lock that another still has. */
  release(): void {
    if (this.descriptor !== null) closeSync(this.descriptor);
    this.descriptor = null;
  }
}
