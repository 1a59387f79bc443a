import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const projectRoot = join(__dirname, '../..');
const mainPath = join(projectRoot, 'dist/apps/api/src/main.js');

export interface LogRecord {
  level: string;
  message: string;
  [field: string]: unknown;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

/** The built server in a process of its own, on a free port. */
export class Server {
  readonly log: LogRecord[] = [];
  /** Lines that are no log: help, version. */
  text = '';
  readonly ended: Promise<Ended>;
  private readonly waiting = new Set<() => void>();
  private readonly child: ChildProcess;
  private pausedHost: number | null = null;
  private stderr = '';

  /** `variables` are added to its environment. `cwd` null: with the options that tests need; else with none but `args`. */
  constructor(args: readonly string[] = [], variables: Readonly<Record<string, string>> = {}, cwd: string | null = null) {
    if (!existsSync(mainPath)) throw new Error('the server is not built: npm run build:ts');
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('QWEN_')));
    const jobs = cwd !== null || args.some((arg) => arg.startsWith('jobs.directory=')) ? null : newJobsFolder();
    const fixed = cwd === null ? optionsForTests(args, jobs) : [];
    this.child = spawn(process.execPath, [mainPath, ...fixed, ...args], {
      cwd: cwd ?? projectRoot,
      env: { ...env, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    if (this.child.stdout) createInterface(this.child.stdout).on('line', (line) => this.read(line));
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      this.wake();
      if (jobs !== null) rmSync(jobs, { recursive: true, force: true });
      return { code: code as number | null, signal: signal as NodeJS.Signals | null, stderr: this.stderr };
    });
  }

  /** As a person starts it in `cwd`. */
  static bare(args: readonly string[], variables: Readonly<Record<string, string>>, cwd: string): Server {
    return new Server(args, variables, cwd);
  }

  /** A server that answers; its model may still be loading. */
  static async listening(...args: string[]): Promise<Server> {
    const server = new Server(args);
    await server.logged(/^listening on/);
    return server;
  }

  /** A server that draws. */
  static async ready(...args: string[]): Promise<Server> {
    const server = await Server.listening(...args);
    await server.logged(/^model loaded/);
    return server;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get url(): string {
    const record = this.log.find(({ message }) => message.startsWith('listening on'));
    return record?.message.slice('listening on '.length) ?? '';
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** The engine host: the only child that runs now. */
  hostPid(): number {
    const children = childrenOf(this.pid);
    if (children.length !== 1) throw new Error(`the server has ${children.length} children`);
    return children[0] ?? 0;
  }

  /**
   * The engine host stands still until `resumeHost`: what runs now, or comes next, runs as long as a test needs to arrange the rest,
   * however fast this machine draws. For less than `engine.hangMs`.
   */
  pauseHost(): void {
    this.pausedHost = this.hostPid();
    process.kill(this.pausedHost, 'SIGSTOP');
  }

  /** A paused host runs for 50 ms and is paused again, by another process: also when this one is held up meanwhile. */
  stepHost(): void {
    const step = 'kill -CONT "$1"; sleep 0.05; kill -STOP "$1"';
    execFileSync('sh', ['-c', step, 'sh', String(this.pausedHost)]);
  }

  /** Also when the server has ended: only a host that runs notices that. */
  resumeHost(): void {
    if (this.pausedHost !== null && isRunning(this.pausedHost)) process.kill(this.pausedHost, 'SIGCONT');
    this.pausedHost = null;
  }

  /** The first record from `from` on with such a message, when it comes. Fails when the server ends before. */
  async logged(message: RegExp, from = 0): Promise<LogRecord> {
    for (;;) {
      const found = this.log.slice(from).find((record) => message.test(record.message));
      if (found) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(
          `the server ended before it logged ${String(message)}:\n${this.stderr}\n${JSON.stringify(this.log.slice(-5))}`,
        );
      }
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Nobody reads its log any more. */
  closeLog(): void {
    this.child.stdout?.destroy();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async stop(): Promise<Ended> {
    this.kill('SIGTERM');
    return this.ended;
  }

  private read(line: string): void {
    if (line.startsWith('{')) this.log.push(JSON.parse(line) as LogRecord);
    else this.text += `${line}\n`;
    this.wake();
  }

  private wake(): void {
    const woken = [...this.waiting];
    this.waiting.clear();
    woken.forEach((resolve) => resolve());
  }
}

function optionsForTests(args: readonly string[], jobs: string | null): string[] {
  // A spec that starts a server anew on its port gives it.
  const port = args.includes('--port') ? [] : ['--port', '0'];
  // A spec may send more than the limit; the limit's own spec sets it.
  const limit = args.some((arg) => arg.startsWith('rateLimit.')) ? [] : ['--set', 'rateLimit.enabled=false'];
  // One server a folder; a spec that restarts a server gives one of its own.
  const folder = jobs === null ? [] : ['--set', `jobs.directory=${jobs}`];
  // Numbers depend on dtype and thread count; the goldens were recorded with these.
  return [...port, ...limit, ...folder, '--device', 'cpu', '--dtype', 'float32', '--set', 'model.threads=2'];
}

/** An empty folder for jobs. */
export function newJobsFolder(): string {
  return mkdtempSync(join(tmpdir(), 'jobs-'));
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((candidate) => parentOf(candidate) === pid);
}

function parentOf(pid: number): number | null {
  return statOf(pid)?.parent ?? null;
}

/** An orphan that has ended may stay listed until init looks after it. */
export function isRunning(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== null && stat.state !== 'Z';
}

function statOf(pid: number): { state: string; parent: number } | null {
  try {
    // pid (name) state parent …; the name may hold anything but ends with the last bracket.
    const [state = '', parent] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
    return { state, parent: Number(parent) };
  } catch {
    return null; // it has ended
  }
}

/** A bound on hanging, below Jest's own so that it is told what was waited for. */
const patienceMs = 120_000;

/** Asks until it is so, for what no event tells. */
export async function eventually(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + patienceMs; !(await isSo());) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
