import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../e2e/server.js';
import type { BuiltStage } from './builder.js';
import { enter, mountKernel, mountOverlay, must, type Place } from './machine.js';

/** A stage that runs: read-only root, /tmp and its volume to write to, process ids of its own. The network is this machine's. */
export class Container {
  log = '';
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;

  private constructor(
    private readonly stage: BuiltStage,
    private readonly place: Place,
    private readonly folder: string,
    private readonly port: number,
  ) {
    const [command = '', ...args] = enter(place, stage.entrypoint);
    this.child = spawn(
      'unshare',
      ['--pid', '--fork', '--kill-child', '--mount', `--mount-proc=${join(place.root, 'proc')}`, command, ...args],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    }
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
  }

  static async start(stage: BuiltStage): Promise<Container> {
    const folder = mkdtempSync(join(tmpdir(), 'container-'));
    const root = join(folder, 'root');
    mountOverlay(root, stage.layers, null);
    mountKernel(root);
    must('mount', ['-t', 'tmpfs', '-o', 'mode=1777,nosuid,nodev,noexec', 'tmp', join(root, 'tmp')]);
    for (const [index, volume] of stage.volumes.entries()) {
      const own = join(folder, `volume-${index}`);
      mkdirSync(own, { mode: 0o700 });
      chownSync(own, 1000, 1000);
      must('mount', ['--bind', own, join(root, volume)]);
    }
    const port = await freePort();
    const variables = { ...stage.variables, QWEN_SERVER_PORT: String(port), QWEN_MODEL_DEVICE: 'cpu' };
    return new Container(stage, { ...stage, root, variables }, folder, port);
  }

  /** What HEALTHCHECK says: 0 or 1. */
  healthcheck(): number | null {
    return this.run(this.stage.healthcheck).status;
  }

  async healthy(): Promise<void> {
    await eventually('healthy', () => {
      if (this.child.exitCode !== null) throw new Error(`it ended:\n${this.log}`);
      return this.healthcheck() === 0;
    });
  }

  /** A command beside the service, with its rights. */
  run(command: readonly string[]): { status: number | null; stderr: string } {
    const [name = '', ...args] = enter(this.place, command);
    return spawnSync(name, args, { encoding: 'utf8' });
  }

  draw(prompt: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.port}/text-to-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'image/png' },
      body: JSON.stringify({ prompt, seed: 1 }),
    });
  }

  async running(): Promise<void> {
    await eventually('a running job', async () => {
      const { queue } = (await (await fetch(`http://127.0.0.1:${this.port}/health`)).json()) as { queue: { running: number } };
      return queue.running === 1;
    });
  }

  /** Lines of /proc/PID/status of its first process. */
  status(): Record<string, string> {
    const text = readFileSync(`/proc/${this.firstPid()}/status`, 'utf8');
    return Object.fromEntries(text.split('\n').map((line) => line.split(':\t') as [string, string]));
  }

  /** As `docker stop`: SIGTERM to its first process. */
  stop(): void {
    process.kill(this.firstPid(), 'SIGTERM');
  }

  remove(): void {
    this.child.kill('SIGKILL');
    must('umount', ['--recursive', this.place.root]);
    rmSync(this.folder, { recursive: true });
  }

  private firstPid(): number {
    return Number(readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8').trim());
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
