import type { NextFunction, Request, Response } from 'express';
import { randomUUID } from 'node:crypto';
import { withContext } from './request-context.js';

const acceptable = /^[A-Za-z0-9._-]{1,128}$/;

/** Takes the caller's X-Request-Id, or makes one, and tells it back. Goes before the body parsers: their faults have an id too. */
export function requestId(request: Request, response: Response, next: NextFunction): void {
  const given = request.get('x-request-id');
  const id = given !== undefined && acceptable.test(given) ? given : randomUUID();
  response.setHeader('X-Request-Id', id);
  withContext({ requestId: id }, next);
}
