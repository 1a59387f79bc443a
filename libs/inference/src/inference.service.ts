import { configTokens, type AppConfig } from '@app/config';
import { EngineClient } from '@app/engine';
import type { ImageFile, OutputFormat } from '@app/image-processing';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { Admission } from './admission.js';
import { engineUnavailable } from './engine-readiness.js';
import { StoredJobError } from './job-error.js';
import { JobLedger } from './job-ledger.js';
import type { JobView, JobWatch, Outcome, SubmittedJob } from './job-view.js';
import { Job } from './job.js';
import type { JobEvent, JobImage, JobOrder, JobRecord, JobRequest, OpenImage } from './job.types.js';
import { LiveClients } from './live-clients.js';
import type { UsedParameters } from './parameters.js';
import { interrupted, restartRetryAfterS } from './queue/end-reasons.js';
import { JOB_QUEUE, type JobQueue, type JobTally, type QueueDepth } from './queue/job-queue.js';
import { ResultEncoder } from './result-encoder.js';
import { ServiceError } from './service.error.js';

/** How long `cancel` waits for a job to end, and for that to be stored. */
const cancelPatienceMs = 10_000;

/** Admits requests and sees them through: what controllers call. */
@Injectable()
export class InferenceService {
  private readonly logger = new Logger(InferenceService.name);
  private readonly clients = new LiveClients();
  private draining = false;
  private stopped = false;

  constructor(
    private readonly engine: EngineClient,
    @Inject(JOB_QUEUE) private readonly queue: JobQueue,
    private readonly ledger: JobLedger,
    private readonly admission: Admission,
    private readonly encoder: ResultEncoder,
    @Inject(configTokens.jobs) private readonly jobs: Pick<AppConfig['jobs'], 'disconnectGraceMs'>,
  ) {}

  get isDraining(): boolean {
    return this.draining;
  }

  depth(): QueueDepth {
    return this.queue.depth();
  }

  tally(): JobTally {
    return this.queue.tally();
  }

  /** Takes up what an earlier server left. @throws Error when jobs.directory cannot be had */
  async open(): Promise<void> {
    const jobs = await this.ledger.open();
    for (const job of jobs) this.ledger.track(job, this.queue.restore(job));
    if (jobs.length > 0) this.logger.log(`${jobs.length} unfinished jobs of an earlier run are taken up`);
  }

  /** @throws ServiceError ENGINE_UNAVAILABLE when a request sent now would not be taken */
  assertAvailable(): void {
    this.assertNotDraining();
    const status = this.engine.status();
    if (status.state !== 'ready') throw engineUnavailable(status);
  }

  /** @throws ServiceError ENGINE_UNAVAILABLE when the server goes down */
  assertNotDraining(): void {
    if (!this.draining) return;
    throw new ServiceError('ENGINE_UNAVAILABLE', 'the server is stopping', { retryAfterS: restartRetryAfterS });
  }

  /** A request with this Idempotency-Key may join a job that is there. */
  knowsKey(owner: string | null, key: string): boolean {
    return !this.draining && this.ledger.keys.has(owner, key);
  }

  /**
   * Accepts the request, or joins it to the job that its Idempotency-Key has: then it is not resolved.
   * @throws ServiceError: no job was made; what `resolve` throws
   */
  async submit(
    resolve: () => JobRequest | Promise<JobRequest>,
    files: readonly ImageFile[],
    order: JobOrder,
  ): Promise<SubmittedJob> {
    const make = async () => this.accept(await resolve(), files, order);
    const id = order.idempotency ? await this.ledger.keys.join(order.owner, order.idempotency, make) : await make();
    const job = this.ledger.liveJob(id);
    if (job && !job.hasEnded && order.async && !job.order.async) {
      job.becomeAsync();
      await this.ledger.noteOrder(job);
    }
    return { id, view: () => this.existing(id), outcome: (gone) => this.outcome(id, gone) };
  }

  /** Null: there is no such job, or it is forgotten. */
  async view(id: string): Promise<JobView | null> {
    const job = this.ledger.liveJob(id);
    // At one moment: a job that is told to wait has a place.
    if (job && !job.hasEnded) return { record: job.toRecord(), ...this.queue.placeOf(job), expiresAt: null, keptMs: null };
    const record = await this.ledger.record(id);
    return record && { record, position: null, etaMs: null, ...this.ledger.expiryOf(record) };
  }

  /**
   * Ends a job that has not ended; resolves when it has, or after some seconds with the job as it stands.
   * @throws ServiceError INTERRUPTED: this server stops, and has left the job to the next one
   */
  async cancel(id: string): Promise<JobView | null> {
    if (this.queue.isLeftToNextServer(id)) throw interrupted();
    if (this.queue.cancel(id)) {
      const enough = new AbortController();
      await Promise.race([
        this.ledger.over(id),
        delay(cancelPatienceMs, undefined, { signal: enough.signal, ref: false }).catch(() => null),
      ]);
      enough.abort();
    }
    return this.view(id);
  }

  /** Of a job that is known. */
  watch(id: string): JobWatch {
    const job = this.ledger.liveJob(id);
    return job ? this.watchLive(job) : this.watchEnded(id);
  }

  /**
   * For whoever reads or destroys its stream. Null: the job ended without such an image.
   * @throws ServiceError NOT_READY before its end
   */
  async openImage(id: string, index: number): Promise<OpenImage | null> {
    const view = await this.view(id);
    if (!view) return null;
    const { record, etaMs } = view;
    if (record.finishedAt === null) {
      const retryAfterS = Math.max(1, Math.ceil((etaMs ?? 0) / 1000));
      throw new ServiceError('NOT_READY', `the job is ${record.state}; its images are there when it has completed`, {
        retryAfterS,
      });
    }
    return this.ledger.openImage(record, index);
  }

  /** An image of a job that was drawn as PNG, in another format. */
  imageAs({ kind, result }: Outcome, index: number, output: OutputFormat): Promise<JobImage> {
    const image = result.images[index];
    if (!image) throw new Error(`there is no image ${index}`);
    return this.encoder.encodeAnew(
      image,
      index,
      { kind, model: result.model, parameters: result.parameters as UsedParameters },
      output,
    );
  }

  /** Takes nothing new, lets the running job finish within `graceMs`; durable jobs are left to the next server. */
  async drain(graceMs: number): Promise<void> {
    this.draining = true;
    await this.queue.drain(graceMs);
    this.stopped = true;
    this.ledger.tellReaders();
  }

  private async accept(request: JobRequest, files: readonly ImageFile[], order: JobOrder): Promise<string> {
    this.assertAvailable();
    this.admission.assertFits(request, order, files[0]?.size);
    const job = new Job(request, order);
    const place = this.queue.reserve(job);
    try {
      await this.ledger.add(job, files);
    } catch (error) {
      place.leave();
      throw error;
    }
    this.ledger.track(job, place.enter());
    return job.id;
  }

  private async outcome(id: string, gone: AbortSignal): Promise<Outcome> {
    const job = this.ledger.liveJob(id);
    const ended = this.ledger.ended(id);
    if (!job || !ended) return this.storedOutcome(id);
    const leave = job.order.async ? () => undefined : this.attach(job, gone);
    try {
      return { id, kind: job.request.kind, createdAt: job.createdAt, result: await ended };
    } finally {
      leave();
    }
  }

  private attach(job: Job, gone: AbortSignal): () => void {
    const graceMs = job.order.idempotency ? this.jobs.disconnectGraceMs : 0;
    return this.clients.attach(job.id, gone, graceMs, () => {
      // It may have been asked for without a connection meanwhile.
      if (!job.order.async) this.queue.cancel(job.id);
    });
  }

  private async storedOutcome(id: string): Promise<Outcome> {
    const { record } = await this.existing(id);
    const { outcome, error } = record;
    if (error) throw new StoredJobError(error);
    if (!outcome) throw new Error(`job ${id} is ${record.state} and not completed`);
    const images = await Promise.all(outcome.images.map((_, index) => this.storedImage(record, index)));
    return { id, kind: record.request.kind, createdAt: record.createdAt, result: { ...outcome, images } };
  }

  private async storedImage(record: JobRecord, index: number): Promise<JobImage> {
    const image = await this.ledger.image(record, index);
    if (!image) throw forgotten();
    return image;
  }

  private async existing(id: string): Promise<JobView> {
    const view = await this.view(id);
    if (!view) throw forgotten();
    return view;
  }

  private watchLive(job: Job): JobWatch {
    const isOver = () => this.stopped || job.events.hasEnded;
    const since = async (id: number): Promise<JobEvent[]> => {
      // Nobody is told of an end that the next server might not know.
      if (job.hasEnded) await this.ledger.over(job.id);
      return job.events.since(id);
    };
    const onChange = (listener: () => void) => {
      const forget = job.events.onChange(listener);
      this.queue.follow(job);
      return forget;
    };
    return {
      since,
      onChange,
      get isOver() {
        return isOver();
      },
    };
  }

  private watchEnded(id: string): JobWatch {
    const since = async (after: number) => (await this.ledger.eventsOfEnded(id)).filter((event) => event.id > after);
    return { since, onChange: () => () => undefined, isOver: true };
  }
}

/** The job that a key had went between the look at the key and the reading. */
function forgotten(): ServiceError {
  return new ServiceError('INTERRUPTED', 'its job was forgotten at this moment: the same request makes a new one', {
    retryAfterS: 1,
  });
}
