import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../e2e/server.js';

/** What a process holds of the machine once its garbage is collected. */
export interface Residence {
  /** Bytes in memory. */
  resident: number;
  /** Bytes of JavaScript's objects and buffers that something still refers to. */
  live: number;
  /** Open files and sockets. */
  descriptors: number;
}

const folder = join(mkdtempSync(join(tmpdir(), 'fuzz-memory-')));

/** The environment of a server whose processes can be asked what they hold. */
export function reportingEnvironment(): Record<string, string> {
  return { NODE_OPTIONS: `--expose-gc --require ${join(__dirname, 'report-memory.cjs')}`, FUZZ_MEMORY: folder };
}

/**
 * The same where what is resident is what is held: the C library gives back at once what is freed, from one heap, and V8's young
 * generation, which comes and goes by tens of megabytes, is kept small.
 */
export function frugalEnvironment(): Record<string, string> {
  const { NODE_OPTIONS, ...rest } = reportingEnvironment();
  const malloc = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '32768', MALLOC_TRIM_THRESHOLD_: '65536' };
  return { ...rest, ...malloc, NODE_OPTIONS: `${NODE_OPTIONS} --max-semi-space-size=1` };
}

const idleMs = 2000;

export async function residenceOf(pid: number): Promise<Residence> {
  await sleep(idleMs); // what is put off until there is nothing else to do
  const file = join(folder, `${pid}.json`);
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR2');
  await eventually(`process ${pid} tells what it holds`, () => existsSync(file));
  const { resident, live } = JSON.parse(readFileSync(file, 'utf8')) as { resident: number; live: number };
  return { resident, live, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

export function forgetReports(): void {
  rmSync(folder, { recursive: true, force: true });
}
