import { currentRequestId } from '@app/observability';
import type { NextFunction, Request, Response } from 'express';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { invalidFields } from '../fields/invalid-fields.js';
import { errorBody } from './error.response.js';
import { toKnownError } from './known-error.js';

/* Requests that Node would answer by itself, with a status alone; they come to the middlewares instead. */

const unmet = new WeakSet<IncomingMessage>();
const maxToldLength = 100;

/**
 * A client that waits for 100 is told to send its body by whoever begins to read it, and so never before a guard has refused the
 * request. Node closes the connection behind an answer that came without it: whether the body follows nobody knows.
 */
export function admitExpectations(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    // What an answer has left unread Node reads itself.
    request.once('resume', () => response.headersSent || response.writeContinue());
    server.emit('request', request, response);
  });
  server.on('checkExpectation', (request, response) => {
    unmet.add(request);
    server.emit('request', request, response);
  });
}

/** Goes behind what gives a request its id. That those without a Host come here is HttpAdapter's doing. */
export function refuseOddRequests(request: Request, response: Response, next: NextFunction): void {
  const { headers, httpVersion } = request;
  if (httpVersion === '1.1' && headers.host === undefined) {
    next(invalidFields([{ field: 'Host', message: 'is required in HTTP/1.1' }]));
  } else if (unmet.has(request)) {
    const message = `must be 100-continue, got ${JSON.stringify(headers.expect?.slice(0, maxToldLength))}`;
    const error = toKnownError(invalidFields([{ field: 'Expect', message }]));
    response.status(417).setHeader('x-should-retry', 'false');
    response.json({ error: errorBody(error, currentRequestId() ?? '') });
  } else next();
}
