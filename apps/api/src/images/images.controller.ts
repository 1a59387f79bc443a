import { configTokens, type QueueConfig } from '@app/config';
import type { ImageFile } from '@app/image-processing';
import { InferenceService, type JobOrder, type JobRequest, type SubmittedJob } from '@app/inference';
import { currentRequestId, currentTraceparent } from '@app/observability';
import { Controller, HttpCode, Inject, Post, Res, UseGuards, UseInterceptors, type StreamableFile } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { ApiErrors } from '../errors/error.response.js';
import type { JobResponse } from '../jobs/job.response.js';
import { RateLimitGuard } from '../rate-limit/rate-limit.guard.js';
import { UploadBudget } from '../uploads/upload-budget.js';
import { ApiGeneration } from './api-generation.decorator.js';
import { planAnswer, SentCall, type AnswerPlan, type Call } from './call.js';
import { ClientSignal } from './client-signal.decorator.js';
import { EngineReadyGuard } from './engine-ready.guard.js';
import { GenerationAnswers } from './generation-answers.js';
import { fingerprint } from './idempotency-key.js';
import { ImageToImageDto } from './image-to-image.dto.js';
import { JsonBodyInterceptor } from './json-body.interceptor.js';
import { qualityOf, RequestResolver } from './request-resolver.js';
import { FormFields, JsonFields, UploadedImage } from './sent-fields.js';
import { TextToImageDto } from './text-to-image.dto.js';
import { UploadInterceptor } from './upload.interceptor.js';

const nothing = Buffer.alloc(0);

/** One call on its way from its fields to its answer. */
interface Drawing {
  call: Call;
  dto: TextToImageDto;
  plan: AnswerPlan;
  kind: JobRequest['kind'];
  files: readonly ImageFile[];
  /** Only when a job has to be made: one that is there can be given without a model. */
  resolve: () => JobRequest | Promise<JobRequest>;
}

@ApiTags('images')
@ApiGeneration()
@UseGuards(RateLimitGuard, EngineReadyGuard)
@Controller()
export class ImagesController {
  constructor(
    private readonly resolver: RequestResolver,
    private readonly inference: InferenceService,
    private readonly answers: GenerationAnswers,
    private readonly uploads: UploadBudget,
    @Inject(configTokens.queue) private readonly queue: Pick<QueueConfig, 'timeoutMs'>,
  ) {}

  @Post('text-to-image')
  @HttpCode(200)
  @UseInterceptors(JsonBodyInterceptor)
  @ApiOperation({
    summary: 'Draw what a prompt says',
    description:
      'Without `Prefer: respond-async` the answer comes when the images are drawn: as JSON, or as the bytes of one image when `Accept` ' +
      "allows image types only. What is left out is the model's default; the answer tells every value that was used.",
    operationId: 'textToImage',
  })
  @ApiBody({
    type: TextToImageDto,
    examples: {
      short: { summary: 'a prompt and a seed', value: { prompt: 'a red circle on a blue background', seed: 1 } },
      full: {
        summary: 'what is often set',
        value: {
          prompt: 'a red circle on a blue background',
          negative_prompt: 'blurred',
          width: 128,
          height: 128,
          num_inference_steps: 10,
          true_cfg_scale: 4,
          seed: 1,
          num_images: 2,
          output_format: 'jpeg',
          output_quality: 90,
        },
      },
    },
  })
  @ApiErrors('REQUEST_TOO_LARGE')
  textToImage(
    @JsonFields() dto: TextToImageDto,
    @SentCall() call: Call,
    @ClientSignal() gone: AbortSignal,
    @Res({ passthrough: true }) response: Response,
  ): Promise<StreamableFile | JobResponse> {
    const plan = planAnswer(call, dto.output_format);
    const resolve = () => this.resolver.textToImage(dto, plan.drawnAs);
    return this.draw({ call, dto, plan, kind: 'text-to-image', files: [], resolve }, gone, response);
  }

  @Post('image-to-image')
  @HttpCode(200)
  @UseInterceptors(UploadInterceptor)
  @ApiOperation({
    summary: 'Draw a picture anew, as a prompt says',
    description:
      "A form with the picture in the field `image`. Without a size the result has the picture's own, made smaller when it has more " +
      'pixels than the model draws by default. `strength` says how much is drawn anew. Answers are those of `/text-to-image`.',
    operationId: 'imageToImage',
  })
  @ApiConsumes('multipart/form-data')
  @ApiBody({
    type: ImageToImageDto,
    examples: {
      short: {
        summary: 'a picture and a prompt',
        value: { image: 'docs/red-circle.png', prompt: 'a blue circle', strength: 0.6, seed: 1 },
      },
    },
  })
  @ApiErrors('INVALID_IMAGE', 'REQUEST_TOO_LARGE')
  imageToImage(
    @FormFields() dto: ImageToImageDto,
    @UploadedImage() image: ImageFile,
    @SentCall() call: Call,
    @ClientSignal() gone: AbortSignal,
    @Res({ passthrough: true }) response: Response,
  ): Promise<StreamableFile | JobResponse> {
    const plan = planAnswer(call, dto.output_format);
    const resolve = () => this.resolver.imageToImage(dto, plan.drawnAs, image);
    return this.draw({ call, dto, plan, kind: 'image-to-image', files: [image], resolve }, gone, response);
  }

  private async draw(drawing: Drawing, gone: AbortSignal, response: Response): Promise<StreamableFile | JobResponse> {
    const { plan, dto } = drawing;
    // Added to what CORS has said, as @Header would not.
    response.vary('Accept, Prefer');
    const job = await this.submit(drawing, response.req);
    if (plan.form === 'job') return this.answers.accepted(job, response);
    return this.answers.drawn(job, { form: plan.form, format: plan.format, quality: qualityOf(dto) }, gone, response);
  }

  private async submit(drawing: Drawing, sent: Request): Promise<SubmittedJob> {
    const { resolve, files } = drawing;
    const job = await this.inference.submit(resolve, files, this.orderOf(drawing, sent));
    // They lie on the disk now, and a job may wait for long: Nest holds a handler's arguments until it has answered.
    for (const file of files) file.bytes = nothing;
    this.uploads.release(sent);
    return job;
  }

  private orderOf({ call, dto, plan, kind, files }: Drawing, sent: Request): JobOrder {
    const { owner, client, idempotencyKey: key } = call;
    return {
      owner,
      client,
      async: plan.form === 'job',
      idempotency: key === null ? null : { key, fingerprint: fingerprint(kind, dto, files) },
      timeoutMs: dto.timeout_ms ?? this.queue.timeoutMs,
      previews: dto.previews ?? 0,
      requestId: currentRequestId() ?? '',
      traceparent: currentTraceparent(sent.headers['traceparent']),
    };
  }
}
