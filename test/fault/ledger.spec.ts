import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ChaosClient, manners, pause, type Story } from '../e2e/chaos-client.js';
import { Client } from '../e2e/client.js';
import { drawEachAlone, type Drawing } from '../e2e/drawing.js';
import { endedOf, readLedger, type Ledger } from '../e2e/ledger.js';
import { Lives } from '../e2e/lives.js';
import { Probe } from '../e2e/probe.js';
import { eventually, newJobsFolder } from '../e2e/server.js';
import { Random } from './random.js';

const isShort = process.env.QWEN_SLOW === 'short';
const wantedJobs = isShort ? 150 : 600;
const clientCount = 12;
const seed = Number(process.env.QWEN_FAULT_SEED ?? Date.now() % 100_000);
const readyWithinMs = 1000;
const progressMs = 10_000;
/** Each death of a host in a row makes the next start wait twice as long. */
const jobsAKill = wantedJobs / (isShort ? 9 : 18);
const drawings = [1, 2, 3, 4, 5, 6, 7, 8].map((number): Drawing => ({
  prompt: 'a red circle',
  seed: number,
  width: 64,
  height: 64,
  num_inference_steps: 4 + 12 * (number % 3),
}));

interface StoredJob {
  id: string;
  state: string;
  error: { code: string } | null;
}

function storedJobs(folder: string): StoredJob[] {
  const names = readdirSync(folder).filter((name) => /^[\da-f]{8}-/.test(name));
  return names.map((name) => JSON.parse(readFileSync(join(folder, name, 'job.json'), 'utf8')) as StoredJob);
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}

describe(`a service under random faults (seed ${seed})`, () => {
  const random = new Random(seed);
  const folder = newJobsFolder();
  const lives = new Lives(folder, ['queue.maxPending=40', 'jobs.disconnectGraceMs=3000', 'server.shutdownGraceMs=2000']);
  let pictures: ReadonlyMap<string, string>;
  const kills = { SIGKILL: 0, SIGSEGV: 0 };
  const readyLateMs: number[] = [];
  let clients: ChaosClient[] = [];
  let probe: Probe;
  let working = true;
  const failures: unknown[] = [];

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Ends the host of the living server and waits until it says that it is not ready; how late that is its log tells. */
  async function killHost(): Promise<void> {
    const server = await lives.server();
    const signal = random.pick(['SIGKILL', 'SIGSEGV'] as const);
    const logged = server.log.length;
    let killedAt: number;
    try {
      if ((await fetch(`${server.url}/health/ready`)).status !== 200) return;
      killedAt = Date.now();
      process.kill(server.hostPid(), signal);
    } catch {
      return; // the host, or the server, went by itself meanwhile
    }
    kills[signal] += 1;
    while (lives.isAlive && (await lives.server()) === server) {
      const ready = await fetch(`${server.url}/health/ready`).catch(() => null);
      if (ready === null) return;
      if (ready.status === 503) {
        const noticed = await server.logged(/^the engine is restarting/, logged).catch(() => null);
        if (noticed) readyLateMs.push(Date.parse(String(noticed['timestamp'])) - killedAt);
        return;
      }
      // Back before anybody could ask.
      if (server.log.slice(logged).some(({ message }) => message.startsWith('model loaded'))) return;
    }
  }

  /** By work and not by time: so a slow machine is not harmed more often than a fast one. */
  async function harm(): Promise<void> {
    let next = random.between(1, jobsAKill);
    while (stillWorking()) {
      await pause(20);
      if (acceptedSoFar() < next || !lives.isAlive) continue;
      next = acceptedSoFar() + random.between(0.5, 1.5) * jobsAKill;
      await pause(random.between(0, 300));
      await killHost();
    }
  }

  const stillWorking = () => working;

  function showProgress(): void {
    const answered = clients.reduce((sum, { stories }) => sum + stories.length, 0);
    process.stderr.write(
      `${acceptedSoFar()} of ${wantedJobs} jobs accepted, ${answered} clients answered, ${kills.SIGKILL + kills.SIGSEGV} hosts killed\n`,
    );
  }

  const acceptedSoFar = () => readdirSync(folder).filter((name) => /^[\da-f]{8}-/.test(name)).length;

  async function work(client: ChaosClient): Promise<void> {
    while (working) {
      const { end } = await client.tellOne();
      if (end === 'ENGINE_UNAVAILABLE') await pause(100);
      if (acceptedSoFar() >= wantedJobs) working = false;
    }
  }

  async function restartAt(jobs: number, signal: NodeJS.Signals): Promise<void> {
    while (working && acceptedSoFar() < jobs) await pause(50);
    await lives.end(signal);
    await lives.begin();
  }

  it(
    `takes ${wantedJobs} jobs, and every one of them ends`,
    async () => {
      const first = await lives.begin();
      pictures = await drawEachAlone(new Client(first), drawings);
      probe = new Probe(lives);
      clients = Array.from({ length: clientCount }, (_, index) => new ChaosClient(lives, new Random(seed + 1 + index), drawings));
      const restarts = (async () => {
        await restartAt(wantedJobs / 3, 'SIGKILL');
        await restartAt((2 * wantedJobs) / 3, 'SIGTERM');
      })();
      const harmed = harm();
      const shown = setInterval(showProgress, progressMs);
      const worked = clients.map((client) => work(client).catch((error: unknown) => failures.push(error)));
      await Promise.all(worked);
      working = false;
      await Promise.all([harmed, restarts]);
      expect(failures).toEqual([]);
      const server = await lives.server();
      await eventually('every job has ended', async () => {
        const { pending, running } = await readLedger(server.url);
        return pending + running === 0;
      });
      clearInterval(shown);
      await probe.stop();
    },
    isShort ? 1_200_000 : 3_600_000, // a bound on hanging, some ten times what it takes
  );

  it('balances', async () => {
    const server = await lives.server();
    const ledger: Ledger = await readLedger(server.url);
    const jobs = storedJobs(folder);
    const stories = clients.flatMap((client) => client.stories);
    print(stories, jobs, ledger);

    expect(jobs.length).toBeGreaterThanOrEqual(wantedJobs);
    expect(jobs.filter(({ state }) => !['completed', 'failed', 'cancelled'].includes(state))).toEqual([]);
    expect(ledger.accepted).toBe(endedOf(ledger));
    expect(probe.faults).toEqual([]);
    expect(Math.min(probe.answers.live, probe.answers.metrics)).toBeGreaterThan(50);
    expect(lives.ended).toEqual([
      { signal: 'SIGKILL', code: null },
      { signal: 'SIGTERM', code: 0 },
    ]);
    expect(readyLateMs.length).toBeGreaterThan(0);
    expect(Math.max(...readyLateMs)).toBeLessThan(readyWithinMs);
  });

  it('told its clients the truth', () => {
    const jobs = new Map(storedJobs(folder).map((job) => [job.id, job]));
    for (const { jobId, end } of clients.flatMap((client) => client.stories)) {
      if (jobId === null) continue;
      const job = jobs.get(jobId);
      const stored = job?.state === 'completed' ? 'completed' : job?.error?.code;
      // The server that was going down said so; the next one may have finished the job.
      if (end !== 'INTERRUPTED') expect([jobId, stored]).toEqual([jobId, end === 'cancelled' ? 'CANCELLED' : end]);
    }
  });

  it('gave the pictures of an undisturbed run', () => {
    const drawn = clients.flatMap((client) => client.stories).flatMap((story) => story.pictures);
    expect(drawn.length).toBeGreaterThan(wantedJobs / 10);
    for (const picture of drawn) expect(picture).toEqual({ of: picture.of, sha256: pictures.get(picture.of) });
  });

  it('ends well', async () => {
    expect(await (await lives.server()).stop()).toMatchObject({ code: 0 });
  });

  function print(stories: readonly Story[], jobs: readonly StoredJob[], ledger: Ledger): void {
    const ends = [...new Set(stories.map(({ end }) => end))].sort();
    const count = (manner: string, end: string) => stories.filter((story) => story.manner === manner && story.end === end).length;
    const states = ['completed', 'failed', 'cancelled'].map((state) => jobs.filter((job) => job.state === state).length);
    const { SIGKILL, SIGSEGV } = kills;
    process.stderr.write(
      [
        '',
        `seed ${seed}: ${jobs.length} accepted jobs = ${states[0]} completed + ${states[1]} failed + ${states[2]} cancelled`,
        `hosts killed: ${SIGKILL} by SIGKILL, ${SIGSEGV} by SIGSEGV; servers ended: ${lives.ended.map(({ signal }) => signal).join(', ')}`,
        `last server: ${ledger.accepted} accepted = ${endedOf(ledger)} ended + ${ledger.pending} pending + ${ledger.running} running`,
        `probes: ${probe.answers.live} x /health/live, ${probe.answers.metrics} x /metrics balanced; slowest ${Math.round(probe.slowestMs)} ms`,
        `not ready after a kill within ${Math.round(Math.max(...readyLateMs))} ms (${readyLateMs.length} kills)`,
        '',
        table(
          ['what clients did', ...ends],
          manners.map((manner) => [manner, ...ends.map((end) => count(manner, end))]),
        ),
        '',
        '',
      ].join('\n'),
    );
  }
});
