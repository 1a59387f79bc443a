import { configTokens, type ModelConfig } from '@app/config';
import {
  EngineClient,
  EngineError,
  HostLostError,
  type GenerateRequest,
  type GenerateResult,
  type Preview,
  type Progress,
} from '@app/engine';
import { ImageDecoder } from '@app/image-processing';
import { withContext, type RequestContext } from '@app/observability';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { engineUnavailable, whenEngineReady } from './engine-readiness.js';
import { toJobError } from './job-error.js';
import { JobLedger } from './job-ledger.js';
import { maxAttempts, type Job } from './job.js';
import type { JobImage, JobResult } from './job.types.js';
import { usedParameters, type UsedParameters } from './parameters.js';
import { DurationEstimate } from './queue/duration-estimate.js';
import type { Runner } from './queue/job-queue.js';
import { ResultEncoder } from './result-encoder.js';

/** Bytes of pixels that go to the engine in a message: of larger ones both processes would hold several copies at once. */
const largestMessage = 1_000_000;

/** One job from its stored input files to its stored result: decode → engine → encode. */
@Injectable()
export class JobRunner implements Runner {
  private readonly logger = new Logger(JobRunner.name);

  constructor(
    private readonly engine: EngineClient,
    private readonly decoder: ImageDecoder,
    private readonly encoder: ResultEncoder,
    private readonly ledger: JobLedger,
    private readonly estimate: DurationEstimate,
    @Inject(configTokens.model) private readonly model: Pick<ModelConfig, 'residency'>,
  ) {}

  whenReady(): Promise<void> {
    return whenEngineReady(this.engine);
  }

  whenReadyAtLast(): Promise<void> {
    return whenEngineReady(this.engine, { patient: true });
  }

  run(job: Job, signal: AbortSignal): Promise<JobResult> {
    return withContext(contextOf(job), () => this.drawOrTell(job, signal));
  }

  settle(job: Job, result: JobResult | null): Promise<void> {
    return withContext(contextOf(job), () => this.ledger.settle(job, result));
  }

  private async drawOrTell(job: Job, signal: AbortSignal): Promise<JobResult> {
    try {
      return await this.draw(job, signal);
    } catch (error) {
      // What a stopped run throws is not why it ended.
      if (!signal.aborted) this.tellLog(job, error);
      throw error;
    }
  }

  private tellLog({ id, attempt }: Job, error: unknown): void {
    if (error instanceof HostLostError) {
      this.logger.warn(`${error.message} under job ${id}, in run ${attempt} of at most ${maxAttempts}`);
    } else if (toJobError(error).code === 'INTERNAL') {
      // Clients are told nothing of it, and nobody may be waiting for an answer.
      this.logger.error(`job ${id} has failed`, error instanceof Error ? error.stack : String(error));
    }
  }

  private async draw(job: Job, signal: AbortSignal): Promise<JobResult> {
    await this.ledger.noteRun(job);
    const { request } = job;
    const wanted = { ...request.generate, previews: job.order.previews };
    const result = await this.withStartPicture(job, (image) => this.generate(job, { ...wanted, ...image }, signal));
    const parameters = usedParameters(request, result, this.model.residency);
    const images = await this.encode(job, result, parameters);
    const { encodeMs, denoiseMs, decodeMs } = result.timings;
    const timings = { queueMs: job.queueMs, encodeMs, denoiseMs, decodeMs, totalMs: job.ageMs };
    return { images, parameters, warnings: result.warnings, timings };
  }

  private async withStartPicture<T>(job: Job, use: (image: Pick<GenerateRequest, 'image'>) => Promise<T>): Promise<T> {
    const [file] = await this.ledger.readInputs(job);
    if (!file) return use({});
    const { data, ...size } = await this.decoder.decode(file);
    if (data.length <= largestMessage) return use({ image: { ...size, data } });
    return this.ledger.withPixelFile(job, data, (path) => use({ image: { ...size, path } }));
  }

  private async generate(job: Job, request: GenerateRequest, signal: AbortSignal): Promise<GenerateResult> {
    // The host may have gone while the start picture was decoded: that is not this job's doing.
    await whenEngineReady(this.engine, { signal, patient: job.isDurable });
    // One after the other, and before the end: a preview is stored before it is told, and ids rise.
    let told = Promise.resolve();
    const onProgress = (progress: Progress) => void (told = told.then(() => this.tellProgress(job, progress)));
    const onPreview = (preview: Preview) => void (told = told.then(() => this.tellPreview(job, preview)));
    try {
      return await this.engine.generate(job.id, request, { signal, onProgress, onPreview });
    } catch (error) {
      if (error instanceof HostLostError) throw error;
      if (error instanceof EngineError && error.code === 'ENGINE_UNAVAILABLE')
        throw engineUnavailable(this.engine.status(), error);
      throw error;
    } finally {
      await told;
    }
  }

  private tellProgress(job: Job, progress: Progress): void {
    job.progress = progress;
    job.events.progress({ attempt: job.attempt, ...progress, eta_ms: this.estimate.remainingMs(job) });
  }

  private async tellPreview(job: Job, { image, index, step, picture }: Preview): Promise<void> {
    // An earlier run of the job has shown it.
    if (job.events.hasPreview(image, index)) return;
    try {
      const bytes = await this.encoder.encodePreview(picture);
      const { width, height } = picture;
      const told = { image, index, step, b64_json: bytes.toString('base64'), width, height, format: 'jpeg' };
      await this.ledger.addPreview(job, { attempt: job.attempt, ...told });
    } catch (error) {
      this.logger.warn(`a preview of job ${job.id} is left out: ${String(error)}`);
    }
  }

  private encode(job: Job, result: GenerateResult, parameters: UsedParameters): Promise<JobImage[]> {
    const { kind, generate } = job.request;
    const encodeOne = async (index: number): Promise<JobImage> => {
      const raw = result.images[index];
      if (!raw) throw new Error(`the engine gave ${result.images.length} images, asked for ${generate.numImages}`);
      return this.encoder.encode(raw, index, kind, parameters);
    };
    return Promise.all(Array.from({ length: generate.numImages }, (_, index) => encodeOne(index)));
  }
}

function contextOf({ id, order: { requestId, owner } }: Job): RequestContext {
  return { jobId: id, requestId, ...(owner === null ? {} : { apiKey: owner }) };
}
