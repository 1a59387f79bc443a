import { fork, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineLog } from '../engine.log.js';
import type { FromHost, ToHost } from '../engine.messages.js';
import { LineSplitter } from './line-splitter.js';

export interface HostExit {
  /** `signal SIGSEGV`, `exit code 1`, or what it was killed for. */
  reason: string;
  /** The last lines of stderr: what a crash had to say. */
  lastLines: readonly string[];
}

export interface HostEntry {
  /** Compiled main.js of the engine host. */
  path: string;
  args?: readonly string[];
}

const maxLineLength = 4096;
const keptLines = 20;
const drainMs = 500;

/** One engine host, from fork to exit. */
export class HostProcess {
  readonly ended: Promise<HostExit>;
  private readonly child: ChildProcess;
  private readonly lastLines: string[] = [];
  private killedFor: string | null = null;

  constructor(
    entry: HostEntry,
    private readonly log: EngineLog,
    onMessage: (message: FromHost) => void,
  ) {
    this.child = fork(entry.path, [...(entry.args ?? [])], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // The host collects garbage after each job, see there.
      execArgv: ['--expose-gc'],
      env: hostEnvironment(),
    });
    this.child.on('message', (message) => onMessage(message as FromHost));
    this.ended = this.watchEnd([
      new Promise((resolve) => this.child.once('disconnect', resolve)),
      this.followLines(this.child.stdout, 'stdout', 'info'),
      this.followLines(this.child.stderr, 'stderr', 'warn', this.lastLines),
    ]);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  send(message: ToHost): void {
    // A host that is dying takes no message; its exit is what settles things.
    if (this.child.connected) this.child.send(message, () => undefined);
  }

  /** Asks by `shutdown`, and after `graceMs` by SIGKILL. Other signals are not for a host: supervisors send them to all processes. */
  async stop(graceMs: number): Promise<void> {
    this.send({ type: 'shutdown' });
    if (await this.endsWithin(graceMs)) return;
    this.log.log('warn', 'the engine host does not end: killed', { pid: this.pid });
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** At once, also when it is stopped or hangs in native code. */
  kill(reason: string): void {
    this.killedFor = reason;
    this.child.kill('SIGKILL');
  }

  private async endsWithin(ms: number): Promise<boolean> {
    const timer = new AbortController();
    const ended = await Promise.race([
      this.ended.then(() => true),
      delay(ms, false, { signal: timer.signal }).catch(() => false),
    ]);
    timer.abort();
    return ended;
  }

  private async watchEnd(channels: Promise<void>[]): Promise<HostExit> {
    const reason = await new Promise<string>((resolve) => {
      this.child.once('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
      this.child.on('error', (error) => {
        if (this.child.pid === undefined) resolve(error.message);
      });
    });
    // The last messages and words may still be in the pipes; a grandchild that holds them open must not hold up the news.
    await Promise.race([Promise.all(channels), delay(drainMs, undefined, { ref: false })]);
    return { reason: this.killedFor ?? reason, lastLines: this.lastLines };
  }

  private followLines(stream: Readable | null, name: string, level: 'info' | 'warn', kept?: string[]): Promise<void> {
    if (!stream) return Promise.resolve();
    const lines = new LineSplitter(maxLineLength, (line) => {
      this.log.log(level, line, { source: 'engine-host', pid: this.pid, stream: name });
      kept?.push(line);
      if (kept && kept.length > keptLines) kept.shift();
    });
    return new Promise((resolve) => {
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => lines.push(chunk));
      stream.once('close', () => {
        lines.end();
        resolve();
      });
    });
  }
}

/**
 * One heap of the C library for all threads. Each further one reserves address space by 64 MB and never gives it back: under a limit
 * a failed job would leave no room for the next. Measured: the time of a picture is the same.
 */
function hostEnvironment(): NodeJS.ProcessEnv {
  return { MALLOC_ARENA_MAX: '1', ...process.env };
}
