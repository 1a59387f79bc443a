import type { Stage } from '@app/engine';
import { imageFormats, type ImageFormat } from '@app/image-processing';
import { askedParameters, endStates, type JobImageInfo, type JobKind, type JobState, type JobView } from '@app/inference';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { ErrorBody, errorBody } from '../errors/error.response.js';
import { AnswerTimings, AnswerWarning, timingsOf } from '../images/image.response.js';
import type { JobLinks } from './job-links.js';

const kinds: readonly JobKind[] = ['text-to-image', 'image-to-image'];
const states: readonly JobState[] = ['queued', 'running', ...endStates];
const stages: readonly Stage[] = ['encode', 'denoise', 'decode'];
const seconds = (description: string): ApiPropertyOptions => ({
  type: 'integer',
  nullable: true,
  description: `${description}, in seconds since the epoch`,
});

export class JobProgress {
  @ApiProperty({ enum: stages })
  stage: Stage;

  @ApiProperty({ type: 'integer', description: 'index of the image' })
  image: number;

  @ApiProperty({ type: 'integer', description: 'steps done: 0 while the prompt is encoded, then 1 to total' })
  step: number;

  @ApiProperty({ type: 'integer', description: 'steps that are really run' })
  total: number;
}

export class StoredImage {
  @ApiProperty({ type: String, example: '/jobs/5b0c…/images/0' })
  url: string;

  @ApiProperty({ type: 'integer', description: 'draws this image again, alone' })
  seed: number;

  @ApiProperty({ type: 'integer' })
  width: number;

  @ApiProperty({ type: 'integer' })
  height: number;

  @ApiProperty({ enum: imageFormats })
  format: ImageFormat;

  @ApiProperty({ type: 'integer', description: 'size of the file' })
  bytes: number;
}

export class JobLinksResponse {
  @ApiProperty({ type: String })
  self: string;

  @ApiProperty({ type: String })
  events: string;
}

export class JobResponse {
  @ApiProperty({ type: String, format: 'uuid' })
  id: string;

  @ApiProperty({ enum: kinds })
  kind: JobKind;

  @ApiProperty({ enum: states })
  status: JobState;

  @ApiProperty({ type: 'integer', description: 'seconds since the epoch' })
  created: number;

  @ApiProperty(seconds('begin of the latest run'))
  started: number | null;

  @ApiProperty(seconds('end'))
  finished: number | null;

  @ApiProperty(seconds('when it is forgotten, unless its room is needed before'))
  expires: number | null;

  @ApiProperty({ type: 'integer', description: 'runs that were begun: 2 after the engine was lost once' })
  attempt: number;

  @ApiProperty({ type: 'integer', nullable: true, description: '1 = next; null when not queued' })
  position: number | null;

  @ApiProperty({ type: 'integer', nullable: true, description: 'milliseconds to the end, likely; null when unknown' })
  eta_ms: number | null;

  @ApiProperty({ type: JobProgress, nullable: true })
  progress: JobProgress | null;

  @ApiProperty({ type: 'object', additionalProperties: true, description: 'every field as it is used, defaults resolved' })
  parameters: Record<string, unknown>;

  @ApiProperty({ type: [AnswerWarning], description: 'what was cut or changed, and why' })
  warnings: AnswerWarning[];

  @ApiProperty({ type: [StoredImage], description: 'when completed' })
  images: StoredImage[];

  @ApiProperty({ type: AnswerTimings, nullable: true })
  timings: AnswerTimings | null;

  @ApiProperty({ type: ErrorBody, nullable: true, description: 'why it failed or was cancelled' })
  error: ErrorBody | null;

  @ApiProperty({ type: JobLinksResponse })
  links: JobLinksResponse;
}

export function jobResponse({ record, position, etaMs, expiresAt }: JobView, links: JobLinks): JobResponse {
  const { id, request, state, createdAt, startedAt, finishedAt, attempt, progress, outcome, error, order } = record;
  return {
    id,
    kind: request.kind,
    status: state,
    created: inSeconds(createdAt),
    started: startedAt === null ? null : inSeconds(startedAt),
    finished: finishedAt === null ? null : inSeconds(finishedAt),
    expires: expiresAt === null ? null : inSeconds(expiresAt),
    attempt,
    position,
    eta_ms: etaMs === null ? null : Math.round(etaMs),
    progress: progress && progressOf(progress),
    parameters: { ...(outcome?.parameters ?? askedParameters(request)) },
    warnings: [...(outcome?.warnings ?? [])],
    images: (outcome?.images ?? []).map((image, index) => storedImage(image, links.image(record, index))),
    timings: outcome && timingsOf(outcome.timings),
    error: error && errorBody(error, order.requestId),
    links: { self: links.self(record), events: links.events(record) },
  };
}

function progressOf({ stage, image, step, total }: JobProgress): JobProgress {
  return { stage, image, step, total };
}

function storedImage({ seed, width, height, format, bytes }: JobImageInfo, url: string): StoredImage {
  return { url, seed, width, height, format, bytes };
}

function inSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}
