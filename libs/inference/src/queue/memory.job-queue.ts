import { HostLostError } from '@app/engine';
import { toJobError } from '../job-error.js';
import type { Job } from '../job.js';
import type { EndState, JobResult } from '../job.types.js';
import { ServiceError } from '../service.error.js';
import type { DurationEstimate } from './duration-estimate.js';
import { cancelled, crashed, interrupted, isInterruption, late, stoppedState } from './end-reasons.js';
import { FairLine, type LineEntry } from './fair-line.js';
import type { JobQueue, JobTally, QueueDepth, QueuePlace, Reservation, Runner } from './job-queue.js';
import { QueueRoom, type QueueLimits } from './queue-room.js';

interface Entry extends LineEntry {
  job: Job;
  stop: AbortController;
  deadline: NodeJS.Timeout;
  resolve(result: JobResult): void;
  reject(error: unknown): void;
}

/** So long a run that was stopped may take to end by itself. Then its job ends without it: who waits is not to wait for a step of minutes. */
const stopPatienceMs = 1000;

/** In this process: one job at a time, fair among clients. */
export class MemoryJobQueue implements JobQueue {
  private readonly line = new FairLine<Entry>();
  /** The job whose host was lost, before all others. */
  private replay: Entry | null = null;
  private running: Entry | null = null;
  /** The running one, when its job has ended already and the runner has not. */
  private outlived: Entry | null = null;
  private working: Promise<void> | null = null;
  private readonly settling = new Set<Promise<void>>();
  /** Jobs with readers: few, however many wait. */
  private readonly followed = new Set<Job>();
  private readonly room: QueueRoom;
  private draining = false;
  /** Jobs that are left to the next server. */
  private readonly kept = new Map<string, Job>();
  private accepted = 0;
  private readonly ended: Record<EndState, number> = { completed: 0, failed: 0, cancelled: 0 };

  constructor(
    private readonly runner: Runner,
    limits: QueueLimits,
    private readonly estimate: DurationEstimate,
  ) {
    this.room = new QueueRoom(limits);
  }

  reserve(job: Job): Reservation {
    const { client } = job.order;
    this.assertRoom(client);
    this.assertInTime(job);
    const leave = this.room.keep(client);
    const enter = () => {
      leave();
      return this.accept(job);
    };
    return { enter, leave };
  }

  restore(job: Job): Promise<JobResult> {
    return this.accept(job, (entry) => {
      if (job.isPoison) this.end(entry, 'failed', crashed(job));
      else if (!job.isDurable) this.end(entry, 'failed', interrupted('the server was restarted'));
      else this.enterLine(entry);
    });
  }

  cancel(jobId: string): boolean {
    return this.stop(jobId, cancelled());
  }

  isLeftToNextServer(jobId: string): boolean {
    return this.kept.has(jobId);
  }

  placeOf(job: Job): QueuePlace {
    if (job.state === 'running') return { position: null, etaMs: this.estimate.remainingMs(job) };
    if (job.state !== 'queued') return { position: null, etaMs: null };
    // The next server comes nobody knows when.
    if (this.kept.has(job.id)) return { position: this.placeAmongKept(job), etaMs: null };
    const ownMs = this.estimate.runMs(job.request);
    if (this.replay?.job === job) return { position: 1, etaMs: ownMs };
    const place = this.line.placeOf(job.id, this.estimate.usualMs());
    if (!place) return { position: null, etaMs: null };
    const etaMs = ownMs === null ? null : Math.round(this.headMs() + place.aheadMs + ownMs);
    return { position: place.position + (this.replay ? 1 : 0), etaMs };
  }

  follow(job: Job): void {
    if (job.hasEnded) return;
    this.followed.add(job);
    this.tellPlace(job);
  }

  depth(): QueueDepth {
    const running = this.running && this.running !== this.outlived ? 1 : 0;
    return { pending: this.pending, running, max: this.room.limits.maxPending };
  }

  tally(): JobTally {
    return { accepted: this.accepted, ended: { ...this.ended } };
  }

  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    for (const entry of this.takeAll()) this.interrupt(entry);
    if (this.running) {
      const { stop } = this.running;
      const timer = setTimeout(() => stop.abort(interrupted()), graceMs);
      await this.working;
      clearTimeout(timer);
    }
    // A job that was being stored when the end began comes in meanwhile; its own end must be stored like any other.
    while (this.room.kept.size + this.settling.size > 0) await Promise.all([...this.room.kept, ...this.settling]);
  }

  private get pending(): number {
    return this.line.length + (this.replay ? 1 : 0) + this.kept.size;
  }

  private accept(job: Job, enter = (entry: Entry) => this.enterLine(entry)): Promise<JobResult> {
    this.accepted += 1;
    return new Promise<JobResult>((resolve, reject) => {
      const { id, order, request } = job;
      const entry: Entry = {
        ...{ id, job, client: order.client, expectedMs: this.estimate.runMs(request), leastMs: this.estimate.leastMs(request) },
        stop: new AbortController(),
        deadline: setTimeout(() => this.stop(id, late(order.timeoutMs)), order.timeoutMs - job.ageMs).unref(),
        ...{ resolve, reject },
      };
      if (this.draining) this.interrupt(entry);
      else enter(entry);
    });
  }

  private enterLine(entry: Entry): void {
    this.line.push(entry);
    this.tellPlace(entry.job);
    // Its turn may be before that of others.
    this.tellPlaces();
    this.working ??= this.work();
  }

  /** Ends a job for a reason of its own: it was given up, or its time is over. */
  private stop(jobId: string, reason: ServiceError): boolean {
    if (this.running?.id === jobId) {
      this.running.stop.abort(reason);
      return this.running !== this.outlived;
    }
    const entry = this.take(jobId);
    if (!entry) return false;
    this.end(entry, stoppedState(reason), reason);
    this.tellPlaces();
    return true;
  }

  private async work(): Promise<void> {
    while (this.line.length > 0 || this.replay) {
      await this.whenReady();
      const next = this.takeReplay() ?? this.line.shift();
      if (next) await this.runOne(next);
    }
    // At once with the last look at the line: a job that comes now must start the work again.
    this.working = null;
  }

  private async whenReady(): Promise<void> {
    try {
      await this.runner.whenReady();
    } catch (error) {
      // Who waits on a connection is told; a durable job has time, and keeps its place.
      const plain = [...this.waiting()].filter(({ job }) => !job.isDurable);
      for (const { id } of plain) {
        const entry = this.take(id);
        if (entry) this.end(entry, 'failed', error);
      }
      this.tellPlaces();
      if (this.line.length > 0 || this.replay) await this.runner.whenReadyAtLast();
    }
  }

  private async runOne(entry: Entry): Promise<void> {
    const { job, stop } = entry;
    this.running = entry;
    job.moveTo('running');
    job.events.started({ attempt: job.attempt });
    this.tellPlaces();
    const forgetPatience = this.outliveWhenStopped(entry);
    try {
      const result = await this.runner.run(job, stop.signal);
      this.running = null;
      if (this.outlived === entry) return;
      this.estimate.record(job.request, result.timings, job.runMs);
      this.complete(entry, result);
    } catch (error) {
      this.running = null;
      if (this.outlived === entry) return;
      // Whatever a stopped runner threw, the reason it was stopped for is the answer.
      if (stop.signal.aborted) this.afterStop(entry, stop.signal.reason);
      else if (error instanceof HostLostError) this.afterHostLoss(entry, error);
      else this.end(entry, 'failed', error);
    } finally {
      forgetPatience();
      this.outlived = null;
    }
  }

  /** Ends the job of a run that was stopped and goes on, until the function that it gives back is called. */
  private outliveWhenStopped(entry: Entry): () => void {
    const { signal } = entry.stop;
    let patience: NodeJS.Timeout | undefined;
    const outlive = () => {
      this.outlived = entry;
      this.afterStop(entry, signal.reason);
    };
    const onStop = () => (patience = setTimeout(outlive, stopPatienceMs).unref());
    signal.addEventListener('abort', onStop, { once: true });
    return () => {
      signal.removeEventListener('abort', onStop);
      clearTimeout(patience);
    };
  }

  private afterStop(entry: Entry, reason: unknown): void {
    if (!isInterruption(reason) || !entry.job.isDurable) {
      this.end(entry, stoppedState(reason), reason);
      return;
    }
    entry.job.moveTo('queued');
    entry.job.takeBackAttempt();
    this.interrupt(entry);
  }

  private afterHostLoss(entry: Entry, cause: HostLostError): void {
    const { job } = entry;
    if (job.isPoison) {
      this.end(entry, 'failed', crashed(job, cause));
    } else if (this.draining) {
      job.moveTo('queued');
      this.interrupt(entry);
    } else {
      job.moveTo('queued');
      this.replay = entry;
      this.tellPlaces();
    }
  }

  /** The server stops before the job has ended. */
  private interrupt(entry: Entry): void {
    if (!entry.job.isDurable) {
      this.end(entry, 'failed', interrupted());
      return;
    }
    this.kept.set(entry.id, entry.job);
    clearTimeout(entry.deadline);
    this.whenSettled(entry, null, () => entry.reject(interrupted()));
  }

  private complete(entry: Entry, result: JobResult): void {
    const { job } = entry;
    const images = result.images.map(({ bytes, ...image }) => ({ ...image, bytes: bytes.length }));
    job.outcome = { ...result, images };
    this.moveToEnd(entry, 'completed');
    this.whenSettled(entry, result, () => entry.resolve(result));
  }

  private end(entry: Entry, state: 'failed' | 'cancelled', error: unknown): void {
    entry.job.error = toJobError(error);
    this.moveToEnd(entry, state);
    this.whenSettled(entry, null, () => entry.reject(error));
  }

  private moveToEnd({ job, deadline }: Entry, state: EndState): void {
    clearTimeout(deadline);
    this.followed.delete(job);
    job.moveTo(state);
    this.ended[state] += 1;
  }

  /** Nobody is told of an end that the next server might not know. The next job does not wait for it. */
  private whenSettled({ job }: Entry, result: JobResult | null, tell: () => void): void {
    const settled = this.runner.settle(job, result).then(() => {
      this.settling.delete(settled);
      tell();
      job.events.changed();
    });
    this.settling.add(settled);
  }

  /** In the order in which the next server takes them up. */
  private placeAmongKept({ createdAt }: Job): number {
    return 1 + [...this.kept.values()].filter((other) => other.createdAt < createdAt).length;
  }

  private tellPlaces(): void {
    for (const job of this.followed) {
      if (job.events.readers > 0) this.tellPlace(job);
      else this.followed.delete(job);
    }
  }

  private tellPlace(job: Job): void {
    const { position, etaMs } = this.placeOf(job);
    if (position !== null && position !== job.events.toldPosition) job.events.queued({ position, eta_ms: etaMs });
  }

  private *waiting(): Iterable<Entry> {
    if (this.replay) yield this.replay;
    yield* this.line;
  }

  private take(jobId: string): Entry | null {
    return this.replay?.id === jobId ? this.takeReplay() : (this.line.remove(jobId) ?? null);
  }

  private takeReplay(): Entry | null {
    const entry = this.replay;
    this.replay = null;
    return entry;
  }

  private takeAll(): Entry[] {
    const replay = this.takeReplay();
    return [...(replay ? [replay] : []), ...this.line.drain()];
  }

  private assertRoom(client: string): void {
    if (this.draining) throw interrupted();
    const ofClient = this.line.lengthOf(client) + (this.replay?.client === client ? 1 : 0);
    const isRunning = this.running !== null;
    this.room.assertFree(client, { waiting: this.pending, ofClient, isRunning, freeInMs: this.headMs() });
  }

  /** @throws ServiceError DEADLINE_EXCEEDED when it is likely to be */
  private assertInTime({ request, order: { client, timeoutMs } }: Job): void {
    const aheadMs = this.leastHeadMs() + this.line.leastAheadOfNext(client);
    const leastMs = aheadMs + this.estimate.leastMs(request);
    if (leastMs <= timeoutMs) return;
    throw new ServiceError('DEADLINE_EXCEEDED', `it is likely to take ${Math.ceil(leastMs)} ms, timeout_ms is ${timeoutMs}`);
  }

  /** What is left of the running job and of the one to be run again. */
  private headMs(): number {
    const runningMs = this.running ? (this.placeOf(this.running.job).etaMs ?? 0) : 0;
    return runningMs + (this.replay ? (this.replay.expectedMs ?? this.estimate.usualMs()) : 0);
  }

  /** The same, at least. */
  private leastHeadMs(): number {
    const { running, replay } = this;
    const runningMs = running ? Math.max(0, this.estimate.leastMs(running.job.request) - running.job.runMs) : 0;
    return runningMs + (replay?.leastMs ?? 0);
  }
}
