import { currentContext, MetricsRegistry, routeOf, shortSeconds, toldStatus } from '@app/observability';
import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';

/** Pictures take longer than other answers. */
const answerSeconds = [...shortSeconds, 20, 40, 60, 120, 300, 600];

/** Every request, by the route that it met: paths themselves are without number. */
@Injectable()
export class HttpMetrics {
  private readonly requests;
  private readonly durations;

  constructor(metrics: MetricsRegistry) {
    this.requests = metrics.counter('qwen_image_http_requests_total', 'HTTP requests, by route, method and status', [
      'route',
      'method',
      'status',
    ]);
    this.durations = metrics.histogram(
      'qwen_image_http_request_duration_seconds',
      'From the head of a request to the end of its answer',
      answerSeconds,
      ['route'],
    );
  }

  /** Middleware in front of all routes. */
  readonly watch = (request: Request, response: Response, next: NextFunction): void => {
    const started = performance.now();
    const context = currentContext(); // 'close' is emitted by the socket, outside of it
    response.once('close', () => {
      const route = routeOf(request);
      this.requests.inc({ route, method: request.method, status: String(toldStatus(response)) });
      this.durations.observe((performance.now() - started) / 1000, { route }, context);
    });
    next();
  };
}
