import type { NextFunction, Request, Response } from 'express';
import type { Logger } from 'winston';
import { currentContext } from './request-context.js';
import { toldStatus } from './told-status.js';

/** One record a request, when its answer has ended, one way or the other. Goes behind `requestId`. */
export function accessLog(logger: Logger) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const started = performance.now();
    const context = currentContext(); // 'close' is emitted by the socket, outside the request's context
    const { method } = request;
    const path = request.originalUrl.split('?', 1)[0]; // a query may hold what is nobody's business
    response.once('close', () => {
      const status = toldStatus(response);
      logger.info(`${method} ${path} ${status}`, {
        ...context,
        context: 'http',
        method,
        path,
        status,
        durationMs: Math.round((performance.now() - started) * 10) / 10,
        ...(response.writableFinished ? {} : { aborted: true }),
      });
    });
    next();
  };
}
