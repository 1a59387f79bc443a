import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const library = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';

export const daySeconds = 86_400;

/** A wall clock that a test sets, for processes with its `variables` in their environment and their children. Other clocks go on as they do. */
export class WallClock {
  private readonly folder = mkdtempSync(join(tmpdir(), 'qwen-clock-'));
  private readonly file = join(this.folder, 'offset');

  constructor() {
    if (!existsSync(library)) throw new Error(`${library} is missing: npm run setup -- test`);
    this.set(0);
  }

  get variables(): Record<string, string> {
    return {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.file,
      // The file is looked at whenever the clock is.
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** From now on it is so many seconds ahead of the machine's. */
  set(seconds: number): void {
    // In one step: nobody reads half a number.
    const next = `${this.file}.next`;
    writeFileSync(next, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`);
    renameSync(next, this.file);
  }

  end(): void {
    rmSync(this.folder, { recursive: true });
  }
}
