import { configTokens, type ModelConfig } from '@app/config';
import { mediaTypes, type ImageFile } from '@app/image-processing';
import { InferenceService, type JobRequest } from '@app/inference';
import {
  Controller,
  Header,
  HttpCode,
  Inject,
  Post,
  Res,
  UseGuards,
  UseInterceptors,
  Headers,
  type StreamableFile,
} from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Response } from 'express';
import { ApiErrors, header } from '../errors/error.response.js';
import { RateLimitGuard } from '../rate-limit/rate-limit.guard.js';
import { chooseForm, readAccept } from './accept.js';
import { ClientSignal } from './client-signal.decorator.js';
import { EngineReadyGuard } from './engine-ready.guard.js';
import { jobIdHeader } from './generation-routes.js';
import { bytesAnswer, ImageResponse, jsonAnswer } from './image.response.js';
import { ImageToImageDto } from './image-to-image.dto.js';
import { JsonBodyInterceptor } from './json-body.interceptor.js';
import { RequestResolver } from './request-resolver.js';
import { FormFields, JsonFields, UploadedImage } from './sent-fields.js';
import { TextToImageDto } from './text-to-image.dto.js';
import { UploadInterceptor } from './upload.interceptor.js';

const bytesSchema = { schema: { type: 'string', format: 'binary' } } as const;
const drawnContent = {
  description: 'the images as JSON, or the bytes of one image when Accept allows image types only',
  content: {
    'application/json': { schema: { $ref: getSchemaPath(ImageResponse) } },
    ...Object.fromEntries(Object.values(mediaTypes).map((type) => [type, bytesSchema])),
  },
  headers: {
    'X-Request-Id': header("the caller's, else a new one"),
    'X-Job-Id': header('the same as id'),
    'X-Seed': header('seed of the first image'),
    'X-Warnings': header('codes of the warnings, when there are any'),
  },
};

@ApiTags('images')
@ApiExtraModels(ImageResponse)
@ApiErrors('INVALID_ARGUMENT', 'UNSUPPORTED_BY_MODEL', 'METHOD_NOT_ALLOWED', 'NOT_ACCEPTABLE', 'PAYLOAD_TOO_LARGE')
@ApiErrors('UNAUTHENTICATED', 'FORBIDDEN', 'UNSUPPORTED_MEDIA_TYPE', 'RATE_LIMITED', 'QUEUE_FULL', 'CANCELLED')
@ApiErrors('INTERNAL', 'NUMERICAL_FAILURE', 'ENGINE_UNAVAILABLE', 'ENGINE_CRASHED', 'OUT_OF_MEMORY', 'INTERRUPTED')
@UseGuards(RateLimitGuard, EngineReadyGuard)
@Controller()
export class ImagesController {
  constructor(
    private readonly resolver: RequestResolver,
    private readonly inference: InferenceService,
    @Inject(configTokens.model) private readonly model: Pick<ModelConfig, 'name'>,
  ) {}

  @Post('text-to-image')
  @HttpCode(200)
  @Header('Vary', 'Accept')
  @UseInterceptors(JsonBodyInterceptor)
  @ApiOperation({ summary: 'Draw what a prompt says', operationId: 'textToImage' })
  @ApiBody({
    type: TextToImageDto,
    examples: { short: { summary: 'a prompt and a seed', value: { prompt: 'a red circle on a blue background', seed: 1 } } },
  })
  @ApiOkResponse(drawnContent)
  @ApiErrors('REQUEST_TOO_LARGE')
  async textToImage(
    @JsonFields() dto: TextToImageDto,
    @Headers('accept') accept: string | undefined,
    @ClientSignal() signal: AbortSignal,
    @Res({ passthrough: true }) response: Response,
  ): Promise<StreamableFile> {
    const wish = readAccept(accept);
    const format = dto.output_format ?? wish.format;
    const form = chooseForm(wish, format);
    return this.draw(this.resolver.textToImage(dto, format), form, signal, response);
  }

  @Post('image-to-image')
  @HttpCode(200)
  @Header('Vary', 'Accept')
  @UseInterceptors(UploadInterceptor)
  @ApiOperation({ summary: 'Draw a picture anew, as a prompt says', operationId: 'imageToImage' })
  @ApiConsumes('multipart/form-data')
  @ApiBody({ type: ImageToImageDto })
  @ApiOkResponse(drawnContent)
  @ApiErrors('INVALID_IMAGE', 'REQUEST_TOO_LARGE')
  async imageToImage(
    @FormFields() dto: ImageToImageDto,
    @UploadedImage() image: ImageFile,
    @Headers('accept') accept: string | undefined,
    @ClientSignal() signal: AbortSignal,
    @Res({ passthrough: true }) response: Response,
  ): Promise<StreamableFile> {
    const wish = readAccept(accept);
    const format = dto.output_format ?? wish.format;
    const form = chooseForm(wish, format);
    return this.draw(await this.resolver.imageToImage(dto, format, image), form, signal, response);
  }

  private async draw(
    request: JobRequest,
    form: 'json' | 'bytes',
    signal: AbortSignal,
    response: Response,
  ): Promise<StreamableFile> {
    const outcome = await this.inference.generate(request, signal, (job) => response.setHeader(jobIdHeader, job.id));
    const { result } = outcome;
    response.setHeader('X-Seed', String(request.generate.seed));
    if (result.warnings.length > 0) response.setHeader('X-Warnings', result.warnings.map(({ code }) => code).join(', '));
    return form === 'bytes' ? bytesAnswer(outcome) : jsonAnswer(outcome, this.model.name);
  }
}
