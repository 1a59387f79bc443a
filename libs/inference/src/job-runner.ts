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
import { inContext, traced, traceIdOf, type RequestContext } from '@app/observability';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { Admission } from './admission.js';
import { engineUnavailable, whenEngineReady } from './engine-readiness.js';
import { toJobError } from './job-error.js';
import { JobLedger } from './job-ledger.js';
import { JobMetrics } from './job-metrics.js';
import { maxAttempts, type Job } from './job.js';
import { StageSpans, tracedRun, tracedStore } from './job-tracing.js';
import type { JobImage, JobResult, JobWarning } from './job.types.js';
import { usedParameters } from './parameters.js';
import { DurationEstimate } from './queue/duration-estimate.js';
import type { Runner } from './queue/job-queue.js';
import { ResultEncoder, type Origin } from './result-encoder.js';

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
    private readonly admission: Admission,
    private readonly metrics: JobMetrics,
    @Inject(configTokens.model) private readonly model: Pick<ModelConfig, 'residency'>,
  ) {}

  whenReady(): Promise<void> {
    return whenEngineReady(this.engine);
  }

  whenReadyAtLast(): Promise<void> {
    return whenEngineReady(this.engine, { patient: true });
  }

  run(job: Job, signal: AbortSignal): Promise<JobResult> {
    return inContext(contextOf(job), () => tracedRun(job, () => this.drawOrTell(job, signal)));
  }

  settle(job: Job, result: JobResult | null): Promise<void> {
    return inContext(contextOf(job), () => {
      if (job.hasEnded) this.tellEnd(job, result);
      return tracedStore(job, () => this.ledger.settle(job, result));
    });
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

  /** One record a job; of an asynchronous one there is no other. */
  private tellEnd(job: Job, result: JobResult | null): void {
    this.metrics.ended(job, result);
    const { kind, generate } = job.request;
    const { prompt, width, height, numInferenceSteps: steps, numImages: images, seed } = generate;
    const timings = result?.timings ?? { queueMs: job.queueMs, totalMs: job.ageMs };
    const rounded = Object.fromEntries(Object.entries(timings).map(([name, ms]) => [name, Math.round(ms * 10) / 10]));
    const error = job.error ? { code: job.error.code } : {};
    this.logger.log({ message: `job ${job.state}`, kind, prompt, width, height, steps, images, seed, ...error, ...rounded });
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
    const { result, warnings } = await this.withStartPicture(job, async (image, ofImage) => {
      // The host may have gone while the start picture was decoded: that is not this job's doing.
      await whenEngineReady(this.engine, { signal, patient: job.isDurable });
      this.admission.assertStillFits(request, job.order, image.image);
      const result = await traced('engine.generate', {}, () => this.generate(job, { ...wanted, ...image }, signal));
      return { result, warnings: [...ofImage, ...result.warnings] };
    });
    const parameters = usedParameters(request, result, this.model.residency);
    const { name: model } = this.engine.status().choice;
    const images = await traced('image.encode', {}, () => this.encode(job, result, { kind: request.kind, model, parameters }));
    const { encodeMs, denoiseMs, decodeMs } = result.timings;
    const timings = { queueMs: job.queueMs, encodeMs, denoiseMs, decodeMs, totalMs: job.ageMs };
    return { model, images, parameters, warnings, timings };
  }

  private async withStartPicture<T>(
    job: Job,
    use: (image: Pick<GenerateRequest, 'image'>, warnings: readonly JobWarning[]) => Promise<T>,
  ): Promise<T> {
    const [file] = await this.ledger.readInputs(job);
    if (!file) return use({}, []);
    const { data, frames, ...size } = await traced('image.decode', {}, () => this.decoder.decode(file));
    const warnings: JobWarning[] = [];
    if (frames > 1) warnings.push({ code: 'ANIMATION_CUT', field: file.field, message: `${frames} frames, the first was used` });
    if (data.length <= largestMessage) return use({ image: { ...size, data } }, warnings);
    return this.ledger.withPixelFile(job, data, (path) => use({ image: { ...size, path } }, warnings));
  }

  private async generate(job: Job, request: GenerateRequest, signal: AbortSignal): Promise<GenerateResult> {
    // One after the other, and before the end: a preview is stored before it is told, and ids rise.
    let told = Promise.resolve();
    const spans = new StageSpans();
    const onProgress = (progress: Progress) => {
      spans.told(progress);
      told = told.then(() => this.tellProgress(job, progress, signal));
    };
    const onPreview = (preview: Preview) => void (told = told.then(() => this.tellPreview(job, preview, signal)));
    try {
      const result = await this.engine.generate(job.id, request, { signal, onProgress, onPreview });
      spans.completed(result.timings);
      return result;
    } catch (error) {
      spans.failed();
      if (error instanceof HostLostError) throw error;
      if (error instanceof EngineError && error.code === 'ENGINE_UNAVAILABLE')
        throw engineUnavailable(this.engine.status(), error);
      throw error;
    } finally {
      await told;
    }
  }

  /** Of a run that was stopped nothing more is told: its job may have ended. */
  private tellProgress(job: Job, progress: Progress, { aborted }: AbortSignal): void {
    if (aborted) return;
    this.metrics.progressed(job.progress, progress);
    job.progress = progress;
    job.events.progress({ attempt: job.attempt, ...progress, eta_ms: this.estimate.remainingMs(job) });
  }

  private async tellPreview(job: Job, { image, index, step, picture }: Preview, signal: AbortSignal): Promise<void> {
    // An earlier run of the job has shown it.
    if (job.events.hasPreview(image, index)) return;
    try {
      const bytes = await this.encoder.encodePreview(picture);
      if (signal.aborted) return;
      const { width, height } = picture;
      const told = { image, index, step, b64_json: bytes.toString('base64'), width, height, format: 'jpeg' };
      await this.ledger.addPreview(job, { attempt: job.attempt, ...told });
    } catch (error) {
      this.logger.warn(`a preview of job ${job.id} is left out: ${String(error)}`);
    }
  }

  private encode(job: Job, result: GenerateResult, origin: Origin): Promise<JobImage[]> {
    const { generate } = job.request;
    const encodeOne = async (index: number): Promise<JobImage> => {
      const raw = result.images[index];
      if (!raw) throw new Error(`the engine gave ${result.images.length} images, asked for ${generate.numImages}`);
      return this.encoder.encode(raw, index, origin);
    };
    return Promise.all(Array.from({ length: generate.numImages }, (_, index) => encodeOne(index)));
  }
}

function contextOf({ id, order: { requestId, owner, traceparent } }: Job): RequestContext {
  const traceId = traceIdOf(traceparent);
  return { jobId: id, requestId, ...(owner === null ? {} : { apiKey: owner }), ...(traceId === undefined ? {} : { traceId }) };
}
