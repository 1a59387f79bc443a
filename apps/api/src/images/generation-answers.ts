import type { OutputFormat } from '@app/image-processing';
import { InferenceService, type Outcome, type SubmittedJob } from '@app/inference';
import { extendContext } from '@app/observability';
import { Injectable, type StreamableFile } from '@nestjs/common';
import type { Response } from 'express';
import { JobLinks } from '../jobs/job-links.js';
import { jobResponse, type JobResponse } from '../jobs/job.response.js';
import { jobIdHeader } from './generation-routes.js';
import { bytesAnswer, jsonAnswer } from './image.response.js';

interface Wanted extends OutputFormat {
  form: 'json' | 'bytes';
}

/** What a request that became a job is answered with. */
@Injectable()
export class GenerationAnswers {
  constructor(
    private readonly inference: InferenceService,
    private readonly links: JobLinks,
  ) {}

  /** The job itself, however far it is. */
  async accepted(job: SubmittedJob, response: Response): Promise<JobResponse> {
    response.setHeader(jobIdHeader, job.id);
    const body = jobResponse(await job.view(), this.links);
    response.status(202).setHeader('Location', body.links.self).setHeader('Preference-Applied', 'respond-async');
    return body;
  }

  /** Its pictures, when they are there. @throws what the job ended with */
  async drawn(job: SubmittedJob, { form, ...output }: Wanted, gone: AbortSignal, response: Response): Promise<StreamableFile> {
    response.setHeader(jobIdHeader, job.id);
    extendContext({ jobId: job.id });
    const outcome = await job.outcome(gone);
    const [image] = outcome.result.images;
    if (!image) throw new Error('a job completed without an image');
    tellAccessLog(outcome);
    // Drawn for another call, maybe, whose seed was chosen then.
    response.setHeader('X-Seed', String(image.seed));
    const { warnings } = outcome.result;
    if (warnings.length > 0) response.setHeader('X-Warnings', warnings.map(({ code }) => code).join(', '));
    if (form === 'json') return jsonAnswer(outcome);
    return bytesAnswer(image.format === output.format ? image : await this.inference.imageAs(outcome, 0, output));
  }
}

function tellAccessLog({ result }: Outcome): void {
  const { queueMs, encodeMs, denoiseMs, decodeMs } = result.timings;
  extendContext({ queueMs: Math.round(queueMs), engineMs: Math.round(encodeMs + denoiseMs + decodeMs) });
}
