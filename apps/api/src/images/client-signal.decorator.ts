import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request, Response } from 'express';

/** An AbortSignal that fires when the client goes before its answer has. */
export const ClientSignal = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const http = context.switchToHttp();
  const [{ socket }, response] = [http.getRequest<Request>(), http.getResponse<Response>()];
  const gone = new AbortController();
  const end = () => {
    socket.off('close', end);
    response.off('close', end);
    if (!response.writableFinished) gone.abort();
  };
  response.on('close', end);
  // The answer to a request that was sent behind another one has no connection until it is its turn, and is not told that it went.
  socket.on('close', end);
  if (response.closed || socket.destroyed) end();
  return gone.signal;
});
