import { configTokens, type ServerConfig } from '@app/config';
import { InferenceService, ServiceError, type JobView } from '@app/inference';
import { Controller, Delete, Get, Header, Inject, Logger, Param, Req, Res, StreamableFile } from '@nestjs/common';
import { ApiHeader, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { mediaTypes } from '@app/image-processing';
import type { Request, Response } from 'express';
import { ApiErrors } from '../errors/error.response.js';
import { invalidFields } from '../fields/invalid-fields.js';
import { imageContent } from '../images/image.response.js';
import { EventStream, streamHeaders } from './event-stream.js';
import { JobAccess, noSuchJob } from './job-access.js';
import { JobLinks } from './job-links.js';
import { jobResponse, JobResponse } from './job.response.js';

const idParam = {
  name: 'id',
  description: 'id of the job, from the answer that took it',
  schema: { type: 'string', format: 'uuid' },
} as const;

@ApiTags('jobs')
@ApiErrors('INVALID_ARGUMENT', 'UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND', 'METHOD_NOT_ALLOWED', 'INTERNAL')
@Controller('jobs')
export class JobsController {
  private readonly logger = new Logger(JobsController.name);

  constructor(
    private readonly inference: InferenceService,
    private readonly access: JobAccess,
    private readonly links: JobLinks,
    @Inject(configTokens.server) private readonly server: Pick<ServerConfig, 'corsOrigins'>,
  ) {}

  @Get(':id')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'How far a job is, and what became of it',
    description:
      'A job is kept for `jobs.ttlMs` after its end; `expires` tells until when. It may go before where new jobs need its room in `jobs.maxBytes`.',
    operationId: 'getJob',
  })
  @ApiParam(idParam)
  @ApiOkResponse({ type: JobResponse, description: 'the job' })
  async read(@Param('id') id: string, @Req() request: Request): Promise<JobResponse> {
    return jobResponse(await this.access.read(request, id), this.links);
  }

  @Delete(':id')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Cancel a job',
    description: 'One that waits or runs; nothing changes for one that has ended. The answer is the job.',
    operationId: 'cancelJob',
  })
  @ApiParam(idParam)
  @ApiOkResponse({ type: JobResponse, description: 'the job as it is now' })
  @ApiErrors('INTERRUPTED')
  async cancel(@Param('id') id: string, @Req() request: Request): Promise<JobResponse> {
    await this.access.own(request, id);
    const view = await this.inference.cancel(id);
    if (!view) throw noSuchJob();
    return jobResponse(view, this.links);
  }

  @Get(':id/events')
  @ApiOperation({
    summary: 'What happens to a job, as server-sent events',
    description:
      'queued, started, progress and preview, then one of completed, failed or cancelled with the job as its data, and the end. ' +
      'A reader that comes late gets the state so far first.',
    operationId: 'streamJobEvents',
  })
  @ApiParam(idParam)
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'id of the last event that was received: only newer ones are sent',
    schema: { type: 'integer', minimum: 0 },
  })
  @ApiOkResponse({ description: 'the events', content: { 'text/event-stream': { schema: { type: 'string' } } } })
  @ApiNoContentResponse({ description: 'the last event was received already: there is no need to connect again' })
  async events(@Param('id') id: string, @Req() request: Request, @Res() response: Response): Promise<void> {
    const view = await this.access.read(request, id);
    const lastId = lastEventId(request);
    const watch = this.inference.watch(id);
    if (view.record.finishedAt !== null && (await watch.since(lastId)).length === 0) response.status(204).end();
    else if (request.method === 'HEAD') response.writeHead(200, streamHeaders).end();
    else
      new EventStream(
        response,
        watch,
        lastId,
        () => this.describe(id),
        (error) => this.logReason(id, error),
      ).open();
  }

  @Get(':id/images/:k')
  @ApiOperation({
    summary: 'The file of one image of a completed job',
    description: 'Before the end it is 409 NOT_READY, with `Retry-After`.',
    operationId: 'getJobImage',
  })
  @ApiParam(idParam)
  @ApiParam({ name: 'k', schema: { type: 'integer', minimum: 0 }, description: 'index of the image' })
  @ApiOkResponse({ description: 'the file', content: imageContent })
  @ApiErrors('NOT_READY')
  async image(
    @Param('id') id: string,
    @Param('k') k: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<StreamableFile> {
    const view = await this.access.read(request, id);
    const index = imageIndex(k, view);
    const image = index === null ? null : await this.inference.openImage(id, index);
    if (!image) throw new ServiceError('NOT_FOUND', 'the job has no such image');
    response.setHeader('Cache-Control', `private, max-age=${secondsLeft(view)}, immutable`);
    // Pages that may call the service may also show its pictures.
    if (this.server.corsOrigins.length > 0) response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
    return new StreamableFile(image.stream, { type: mediaTypes[image.format], length: image.length });
  }

  private async describe(id: string): Promise<JobResponse | null> {
    const view = await this.inference.view(id);
    return view && jobResponse(view, this.links);
  }

  private logReason(id: string, error: unknown): void {
    this.logger.error(`the events of job ${id} cannot be read`, error instanceof Error ? error.stack : String(error));
  }
}

function lastEventId(request: Request): number {
  const sent = request.get('last-event-id');
  if (sent === undefined) return 0;
  const id = /^\d+$/.test(sent) ? Number(sent) : NaN;
  if (Number.isSafeInteger(id)) return id;
  throw invalidFields([{ field: 'Last-Event-ID', message: 'must be the id of an event, as it was received' }]);
}

/** Null: no job of this request will ever have that image. */
function imageIndex(k: string, { record }: JobView): number | null {
  if (!/^(0|[1-9]\d*)$/.test(k)) return null;
  return Number(k) < record.request.generate.numImages ? Number(k) : null;
}

function secondsLeft({ keptMs }: JobView): number {
  return Math.floor((keptMs ?? 0) / 1000);
}
