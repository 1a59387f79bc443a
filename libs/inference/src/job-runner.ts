import { configTokens, type ModelConfig } from '@app/config';
import { EngineClient, EngineError, HostLostError, type GenerateRequest, type GenerateResult } from '@app/engine';
import { ImageDecoder, ImageEncoder } from '@app/image-processing';
import { withContext } from '@app/observability';
import { Inject, Injectable } from '@nestjs/common';
import { engineUnavailable, whenEngineReady } from './engine-readiness.js';
import type { Runner } from './job-queue.js';
import type { Job, JobImage, JobResult } from './job.js';
import { describePicture, usedParameters } from './parameters.js';
import { SOFTWARE, type Software } from './software.js';

/** One job from its input files to its result: decode → engine → encode. */
@Injectable()
export class JobRunner implements Runner {
  constructor(
    private readonly engine: EngineClient,
    private readonly decoder: ImageDecoder,
    private readonly encoder: ImageEncoder,
    @Inject(configTokens.model) private readonly model: Pick<ModelConfig, 'name' | 'residency'>,
    @Inject(SOFTWARE) private readonly software: Software,
  ) {}

  whenReady(): Promise<void> {
    return whenEngineReady(this.engine);
  }

  run(job: Job, signal: AbortSignal): Promise<JobResult> {
    return withContext({ jobId: job.id }, () => this.draw(job, signal));
  }

  private async draw(job: Job, signal: AbortSignal): Promise<JobResult> {
    const { request } = job;
    const image = request.imageFile && (await this.decoder.decode(request.imageFile));
    const result = await this.generate(job, image ? { ...request.generate, image } : request.generate, signal);
    const parameters = usedParameters(request, result, this.model.residency);
    const images = await this.encode(job, result, parameters);
    const { encodeMs, denoiseMs, decodeMs } = result.timings;
    const queueMs = (job.startedAt ?? job.createdAt) - job.createdAt;
    const timings = { queueMs, encodeMs, denoiseMs, decodeMs, totalMs: Date.now() - job.createdAt };
    return { images, parameters, warnings: result.warnings, timings };
  }

  private async generate(job: Job, request: GenerateRequest, signal: AbortSignal): Promise<GenerateResult> {
    // The host may have gone while the start picture was decoded: that is not this job's doing.
    await whenEngineReady(this.engine, signal);
    try {
      return await this.engine.generate(job.id, request, { signal, onProgress: (progress) => (job.progress = progress) });
    } catch (error) {
      if (error instanceof HostLostError) throw error;
      if (error instanceof EngineError && error.code === 'ENGINE_UNAVAILABLE')
        throw engineUnavailable(this.engine.status(), error);
      throw error;
    }
  }

  private async encode(job: Job, result: GenerateResult, parameters: ReturnType<typeof usedParameters>): Promise<JobImage[]> {
    const { kind, generate, output } = job.request;
    const fromImage = kind === 'image-to-image';
    const origin = { model: this.model.name, software: `${this.software.name} ${this.software.version}` };
    const encodeOne = async (index: number): Promise<JobImage> => {
      const raw = result.images[index];
      if (!raw) throw new Error(`the engine gave ${result.images.length} images, asked for ${generate.numImages}`);
      const description = output.metadata ? describePicture(parameters, index, origin) : null;
      const bytes = await this.encoder.encode(raw, output, { fromImage, description });
      return { bytes, seed: generate.seed + index, width: raw.width, height: raw.height, format: output.format };
    };
    return Promise.all(Array.from({ length: generate.numImages }, (_, index) => encodeOne(index)));
  }
}
