import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, isRunning, newJobsFolder, Server } from '../e2e/server.js';
import { JobClient } from './job-client.js';

export interface StoredJob {
  id: string;
  state: string;
  attempt: number;
  order: { async: boolean; idempotency: { key: string } | null };
  error: { code: string } | null;
}

/** One service through the lives of its server, over one folder of jobs. */
export class Service {
  private readonly servers: Server[] = [];

  /** `variables` are added to the environment of its servers. */
  constructor(
    readonly folder = newJobsFolder(),
    private readonly variables: Readonly<Record<string, string>> = {},
  ) {}

  /** The next server, when it draws. */
  async begin(...settings: string[]): Promise<JobClient> {
    const server = this.start(...settings);
    await server.logged(/^model loaded/);
    return new JobClient(server);
  }

  start(...settings: string[]): Server {
    const all = [`jobs.directory=${this.folder}`, ...settings];
    const server = new Server(
      all.flatMap((setting) => ['--set', setting]),
      this.variables,
    );
    this.servers.push(server);
    return server;
  }

  /** As they lie on the disk. */
  storedJobs(): StoredJob[] {
    const names = readdirSync(this.folder).filter((name) => /^[\da-f]{8}-[\da-f-]{27}$/.test(name));
    return names.flatMap((name) => {
      const path = join(this.folder, name, 'job.json');
      // A folder that is being made, or removed.
      return existsSync(path) ? [JSON.parse(readFileSync(path, 'utf8')) as StoredJob] : [];
    });
  }

  storedJob(id: string): StoredJob {
    const job = this.storedJobs().find((candidate) => candidate.id === id);
    if (!job) throw new Error(`job ${id} is not stored`);
    return job;
  }

  /** Of the job that a request with this Idempotency-Key became, when its server tells of it: it is stored before. */
  async idOfKey(key: string): Promise<string> {
    const find = () => this.storedJobs().find(({ order }) => order.idempotency?.key === key);
    await eventually(`the key ${key} has a job`, () => find() !== undefined);
    const { id } = find()!;
    const { url } = this.servers.at(-1)!;
    await eventually(`the server tells of job ${id}`, async () => (await fetch(`${url}/jobs/${id}`)).status === 200);
    return id;
  }

  /** Whatever a failed test has left goes too. */
  async end(): Promise<void> {
    for (const server of this.servers) {
      if (isRunning(server.pid)) server.kill('SIGKILL');
      await server.ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
