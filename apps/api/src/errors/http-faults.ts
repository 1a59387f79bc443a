import { plainJobError } from '@app/inference';
import { noteToldError, withContext } from '@app/observability';
import { Logger } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { maxHeaderSize, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { errorAnswers, type ErrorCode } from './error-answers.js';
import { errorBody, type ErrorResponse } from './error.response.js';

/** What is wrong with what came as HTTP, before there is a route. The status is HTTP's own. */
interface HttpFault {
  status: number;
  code: ErrorCode;
  message: string;
  /** The client has ended the connection, and is hardly there to read what it is told. */
  hasLeft?: true;
}

/** How long a client may take to read an answer while it still sends: then its connection is closed, whatever it does. */
const lingerMs = 2000;

const logger = new Logger('http');

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
}

/** Answers in the one shape what Node's parser would answer with a bare status: no middleware and no filter hears of it. */
export function answerHttpFaults(server: Server): void {
  const exchanges = new WeakMap<Duplex, Exchange[]>();
  const openOn = (socket: Duplex) => (exchanges.get(socket) ?? []).filter(isOpen);
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    exchanges.set(socket, [...openOn(socket), { request, response }]);
    response.once('close', () => exchanges.set(socket, openOn(socket)));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // It has its answer already: this is what it went on to send.
    if (socket.writableEnded) return;
    const fault = faultOf(error);
    const open = openOn(socket);
    // Behind a part of another answer it would be taken for more of that, or for a second one to the same request.
    const isFirst = open.every(({ response }) => !response.headersSent);
    if (fault && socket.writable && isFirst) answer(socket, fault, open[0]?.response);
    else socket.destroy();
  });
}

/** An answer may be there before its request has come whole. */
function isOpen({ request, response }: Exchange): boolean {
  return !request.complete || !response.closed;
}

/** Null: there is nobody to tell. https://github.com/nodejs/node/blob/v20.19.0/lib/_http_server.js, socketOnError */
function faultOf({ code = '', message }: NodeJS.ErrnoException): HttpFault | null {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return invalid(431, `the request line and the headers have more than ${maxHeaderSize} bytes`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { status: 413, code: 'PAYLOAD_TOO_LARGE', message: 'the extensions of a chunk of the body have too many bytes' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return invalid(408, 'the request did not come whole in time');
    case 'HPE_INVALID_EOF_STATE':
      return { ...invalid(400, 'the connection ended in the middle of the request'), hasLeft: true };
    default:
      return code.startsWith('HPE_') ? invalid(400, `not HTTP/1.1: ${message.replace(/^Parse Error: /, '')}`) : null;
  }
}

function invalid(status: number, message: string): HttpFault {
  return { status, code: 'INVALID_ARGUMENT', message };
}

/** `current`: the answer that the client waits for, when it waits for one. */
function answer(socket: Duplex, fault: HttpFault, current: ServerResponse | undefined): void {
  const { status, code, message } = fault;
  const requestId = String(current?.getHeader('X-Request-Id') ?? randomUUID());
  const body: ErrorResponse = { error: errorBody(plainJobError(code, message), requestId) };
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Date: ${new Date().toUTCString()}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    ...(errorAnswers[code].retry ? [] : ['x-should-retry: false']),
    'Connection: close',
  ];
  if (current && !fault.hasLeft) noteToldError(current, { status, code });
  withContext({ requestId }, () => logger.log(`answered ${status} to what is no whole request: ${message}`));
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`);
  // Closed at once, with bytes that nobody has read, the connection would be reset, and the answer with it.
  const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(linger));
}
