import { HostLostError } from '@app/engine';
import { Logger } from '@nestjs/common';
import { Random } from '../../../test/fault/random.js';
import { jobOrder, jobRequest } from '../../../test/fixtures/job-request.js';
import type { Disk } from '../../../test/fixtures/memory.job-store.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { TestInference } from '../../../test/fixtures/test-inference.js';
import { InferenceService } from './inference.service.js';
import { toJobError } from './job-error.js';
import type { JobWatch } from './job-view.js';
import { isEnd } from './job.js';
import { endStates, type EndState, type JobEvent, type JobOrder, type JobRecord } from './job.types.js';

const settings = { maxPending: 12, maxPendingPerClient: 6, disconnectGraceMs: 5 };
const refusals = ['QUEUE_FULL', 'STORAGE_FULL', 'IDEMPOTENCY_CONFLICT', 'INTERNAL', 'ENGINE_UNAVAILABLE', 'INTERRUPTED'];

/** What the world outside knows of one accepted job. */
interface Known {
  id: string;
  order: JobOrder;
  watch: JobWatch;
  events: JobEvent[];
  /** Answers to those that waited for it. */
  answers: string[];
}

/** A service among clients that come, go and come again, a disk that fails and servers that end, as the dice fall. */
class World {
  readonly jobs = new Map<string, Known>();
  readonly disk: Disk = new Map();
  private server = new TestInference(this.disk, settings);
  private readonly clients = new Set<AbortController>();
  /** What runs of each job have drawn. */
  private readonly drawn = new Map<string, string[]>();
  private failing = false;
  /** Jobs of which something could not be stored. */
  private readonly unlucky = new Set<string>();
  readonly faults: string[] = [];
  private count = 0;

  constructor(private readonly dice: Random) {}

  async open(): Promise<void> {
    const { runner } = this.server;
    // The host is never away for long.
    runner.stops = this.dice.next() < 0.8;
    this.server.store.before = (call, jobId) => this.disturb(call, jobId);
    await this.server.open();
    for (const known of this.jobs.values()) known.watch = this.server.service.watch(known.id);
  }

  async step(): Promise<void> {
    const roll = this.dice.next();
    if (roll < 0.35) void this.submit();
    else if (roll < 0.6) this.endRun();
    else if (roll < 0.68) void this.server.service.cancel(this.anyJob() ?? 'nobody');
    else if (roll < 0.78) this.disconnect();
    else if (roll < 0.82) this.failing = !this.failing;
    else if (roll < 0.84) await this.restart();
    else if (roll < 0.85) await this.kill();
    else await settled();
    this.checkBalance();
    if (this.dice.next() < 0.3) await this.look();
    this.checkBalance();
    expect(this.faults).toEqual([]);
  }

  /** Until nothing is left to do, in a server that is not disturbed. */
  async finish(): Promise<void> {
    await this.restart();
    const { service, runner } = this.server;
    for (let i = 0; i < 1000 && service.depth().pending + service.depth().running > 0; i++) {
      if (runner.runs.length > 0) this.complete();
      await settled();
    }
    await this.restart();
    await this.look();
  }

  private async submit(): Promise<void> {
    const { server } = this;
    const form = this.dice.pick(['plain', 'async', 'keyed', 'keyed async']);
    const key = `key ${this.dice.pick([1, 2, 3])}`;
    const order = jobOrder({
      client: `client ${this.dice.pick([1, 2, 3, 4])}`,
      async: form.includes('async'),
      idempotency: form.includes('keyed') ? { key, fingerprint: this.dice.pick(['a', 'a', 'a', 'b']) } : null,
      requestId: `request ${++this.count}`,
      traceparent: null,
    });
    const client = new AbortController();
    this.clients.add(client);
    const failed = new Set([...this.jobs.values()].filter((known) => this.hasFailed(known)).map(({ id }) => id));
    try {
      const job = await server.service.submit(() => jobRequest(), [], order);
      if (failed.has(job.id)) this.faults.push(`job ${job.id} had failed and was joined`);
      const known = this.know(job.id, order);
      if (order.async) return;
      const answer = (code: string) => {
        known.answers.push(code);
        // A durable job that is interrupted has not ended.
        if (code !== 'INTERRUPTED') this.checkToldEnd(known.id);
      };
      void job.outcome(client.signal).then(
        () => answer('completed'),
        (error: unknown) => answer(toJobError(error).code),
      );
    } catch (error) {
      const { code } = toJobError(error);
      if (!refusals.includes(code)) this.faults.push(`a request was refused as ${code}: ${String(error)}`);
    }
  }

  private know(id: string, order: JobOrder): Known {
    const before = this.jobs.get(id);
    if (before) {
      if (before.order.idempotency?.fingerprint !== order.idempotency?.fingerprint)
        this.faults.push(`another request joined job ${id}`);
      return before;
    }
    const known: Known = { id, order, watch: this.server.service.watch(id), events: [], answers: [] };
    for (const other of this.jobs.values()) {
      // Only after failed or cancelled a key has another job.
      if (!order.idempotency || other.order.idempotency?.key !== order.idempotency.key) continue;
      const state = this.server.ledger.liveJob(other.id)?.state ?? this.stored(other.id).state;
      if (!['failed', 'cancelled'].includes(state))
        this.faults.push(`${order.idempotency.key} has job ${id} beside ${other.id}, ${state}`);
    }
    this.jobs.set(id, known);
    return known;
  }

  private endRun(): void {
    const run = this.server.runner.runs.at(-1);
    if (!run) return;
    const roll = this.dice.next();
    if (roll < 0.6) this.complete();
    else if (roll < 0.8) run.fail(new HostLostError('the host is gone'));
    else run.fail(new Error('no such luck'));
  }

  private complete(): void {
    const { job, finish } = this.server.runner.latest;
    const content = `picture ${++this.count}`;
    this.drawn.set(job.id, [...(this.drawn.get(job.id) ?? []), content]);
    finish(jobResult(content));
  }

  private anyJob(): string | null {
    return this.jobs.size === 0 ? null : this.dice.pick([...this.jobs.keys()].slice(-15));
  }

  private disconnect(): void {
    if (this.clients.size === 0) return;
    const client = this.dice.pick([...this.clients]);
    this.clients.delete(client);
    client.abort();
  }

  private async restart(): Promise<void> {
    // What cannot be stored is only kept as long as there is a server.
    this.failing = false;
    const { runner } = this.server;
    runner.stops = true;
    const last = runner.runs.at(-1);
    // It was told to stop already, and did not.
    if (last?.signal.aborted) last.fail(new Error('stopped at last'));
    await this.server.end();
    this.checkBalance();
    await this.look();
    await this.next();
  }

  private async kill(): Promise<void> {
    this.failing = false;
    for (let i = 0; i < 5; i++) await settled();
    await (this.server.ledger as unknown as { sweep(): Promise<void> }).sweep();
    this.server.store.kill();
    await this.next();
  }

  private async next(): Promise<void> {
    this.clients.clear();
    this.server = new TestInference(this.disk, settings);
    await this.open();
  }

  private disturb(call: string, jobId: string): Promise<void> | void {
    if (this.failing && call !== 'remove' && this.dice.next() < 0.7) {
      this.unlucky.add(jobId);
      return Promise.reject(new Error('ENOSPC'));
    }
    if (this.dice.next() < 0.5) return settled();
  }

  /** As readers of events do: each takes what is newer than what it has. */
  private async look(): Promise<void> {
    for (const { id, watch, events } of this.jobs.values()) {
      if (events.some(({ name }) => isEnd(name as EndState))) continue;
      // Of an end that is being stored nothing is told yet.
      const later = settled()
        .then(settled)
        .then(() => []);
      const newer = await Promise.race([watch.since(events.at(-1)?.id ?? 0), later]);
      events.push(...newer);
      if (newer.some(({ name }) => isEnd(name as EndState))) this.checkToldEnd(id);
    }
  }

  /** It is stored, unless the disk would not take it. */
  private checkToldEnd(id: string): void {
    const { state } = this.stored(id);
    if (!isEnd(state) && !this.unlucky.has(id)) this.faults.push(`the end of job ${id} was told, and it is stored as ${state}`);
  }

  private hasFailed({ events }: Known): boolean {
    return events.some(({ name }) => name === 'failed' || name === 'cancelled');
  }

  private stored(id: string): JobRecord {
    return JSON.parse(this.disk.get(id)?.record ?? '{"state":"nowhere"}') as JobRecord;
  }

  checkBalance(): void {
    const { accepted, ended } = this.server.service.tally();
    const { pending, running } = this.server.service.depth();
    expect(ended.completed + ended.failed + ended.cancelled + pending + running).toBe(accepted);
  }

  async checkEnds(): Promise<void> {
    for (const { id, events, answers, order } of this.jobs.values()) {
      const record = this.stored(id);
      expect(endStates).toContain(record.state);
      const ends = events.filter(({ name }) => isEnd(name as EndState));
      expect([order.requestId, ends.map(({ name }) => name)]).toEqual([order.requestId, [record.state]]);
      expect(events.at(-1)?.name).toBe(record.state);
      const ids = events.map((event) => event.id);
      expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
      expect(await this.server.service.watch(id).since(ids.at(-1) ?? 0)).toEqual([]);
      if (record.state === 'completed') {
        expect(answers.filter((answer) => !['completed', 'INTERRUPTED'].includes(answer))).toEqual([]);
        expect(this.drawn.get(id)).toContain(this.disk.get(id)?.images[0]?.toString());
      } else expect(answers).not.toContain('completed');
    }
  }
}

describe(`${InferenceService.name}, whatever happens`, () => {
  beforeAll(() => void Logger.overrideLogger(false));

  it.each([1, 2, 6])('ends each accepted job once (seed %i)', async (seed) => {
    const world = new World(new Random(seed));
    await world.open();
    for (let i = 0; i < 1000; i++) await world.step();
    await world.finish();
    await world.checkEnds();
    expect(world.jobs.size).toBeGreaterThan(100);
  });
});
