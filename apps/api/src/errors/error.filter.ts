import type { JobError } from '@app/inference';
import { currentRequestId, toldError } from '@app/observability';
import { Catch, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Application, Request, Response } from 'express';
import { isGenerationPath, jobIdHeader } from '../images/generation-routes.js';
import { ServiceMetrics } from '../metrics/service.metrics.js';
import { allowedMethods } from './allowed-methods.js';
import { answerOf } from './error-answers.js';
import { errorBody, type ErrorResponse } from './error.response.js';
import { toKnownError } from './known-error.js';

/** What a file that was about to be sent would have been sent with. */
const ofAnotherAnswer = ['Accept-Ranges', 'Cache-Control', 'ETag', 'Last-Modified'];

/** Every error's way out: the only place that knows which code is which status. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger(ErrorFilter.name);

  constructor(
    private readonly adapter: HttpAdapterHost,
    private readonly metrics: ServiceMetrics,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const known = this.orMethodNotAllowed(toKnownError(error), request, response);
    const { status, retry } = answerOf(known.code);
    if (status >= 500)
      this.logger.error(`${known.code}: ${known.message}`, known.code === 'INTERNAL' ? stackOf(error) : undefined);

    if (isRefusal(request, response)) this.metrics.countRefusal(toldError(response)?.code ?? known.code);
    if (response.headersSent) {
      // The answer has begun: cutting it short is the only way left to say that it is not whole.
      response.destroy();
      return;
    }
    if (!retry) response.setHeader('x-should-retry', 'false');
    if (known.code === 'UNAUTHENTICATED') response.setHeader('WWW-Authenticate', 'Bearer');
    if (known.retryAfterS !== null) response.setHeader('Retry-After', String(known.retryAfterS));
    const body: ErrorResponse = { error: errorBody(known, currentRequestId() ?? '') };
    for (const name of ofAnotherAnswer) response.removeHeader(name);
    response.status(status).type('json').json(body);
  }

  private orMethodNotAllowed(known: JobError, request: Request, response: Response): JobError {
    if (known.code !== 'NOT_FOUND') return known;
    const methods = allowedMethods(this.adapter.httpAdapter.getInstance<Application>(), request.path);
    if (methods.length === 0) return { ...known, message: `there is no ${request.method} ${request.path}` };
    // What the route was asked for is not there: it has said so itself.
    if (methods.includes(request.method)) return known;
    response.setHeader('Allow', methods.join(', '));
    return {
      ...known,
      code: 'METHOD_NOT_ALLOWED',
      message: `${request.path} takes ${methods.join(', ')}, not ${request.method}`,
    };
  }
}

/** A request for a picture that did not become a job: the end of one that did is the job's, and counted there. */
function isRefusal({ method, path }: Request, response: Response): boolean {
  return method === 'POST' && isGenerationPath(path) && !response.hasHeader(jobIdHeader);
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : String(error);
}
