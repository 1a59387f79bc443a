import { Server } from './server.js';

/** One service through several lives of its server, over one folder of jobs. */
export class Lives {
  private current: Promise<Server> | null = null;
  private living: Server | null = null;
  readonly ended: { signal: NodeJS.Signals; code: number | null }[] = [];

  constructor(
    readonly folder: string,
    private readonly settings: readonly string[] = [],
  ) {}

  async begin(): Promise<Server> {
    const settings = [`jobs.directory=${this.folder}`, ...this.settings];
    this.current = Server.ready(...settings.flatMap((setting) => ['--set', setting]));
    this.living = await this.current;
    return this.living;
  }

  /** The server that lives now, or the next one when none does. */
  async server(): Promise<Server> {
    while (!this.current) await new Promise((resolve) => setTimeout(resolve, 20));
    return this.current;
  }

  get isAlive(): boolean {
    return this.current !== null;
  }

  isServedBy(server: Server): boolean {
    return this.living === server;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const server = await this.server();
    this.current = null;
    this.living = null;
    server.kill(signal);
    const { code } = await server.ended;
    this.ended.push({ signal, code });
  }
}
