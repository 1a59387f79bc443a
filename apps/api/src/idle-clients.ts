import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** A client that has sent nothing more of its request, or taken nothing more of its answer, for so long is gone, or might as well be. */
export const patienceMs = 60_000;
const looks = 4;

/** How many looks in a row found a count unchanged although the client was to move it. */
class IdleCount {
  private last = 0;
  private idleLooks = 0;

  /** @returns whether patience is over */
  look(count: number, isExpected: boolean): boolean {
    this.idleLooks = isExpected && count === this.last ? this.idleLooks + 1 : 0;
    this.last = count;
    return this.idleLooks >= looks;
  }
}

interface Client {
  sent: IdleCount;
  taken: IdleCount;
  /** The newest of this connection. */
  request: IncomingMessage | null;
}

/**
 * Cuts off clients that do not read: what is written for them would be held as long as they like, and by as many of them as like
 * to. And those that stop in the middle of a request, which hold memory for all that it promised: they are answered 408.
 * Bodies and answers go in pieces, so who is slow goes on. Time is counted in looks: while the machine slept nobody could move.
 */
export function cutOffIdleClients(server: Server, patience = patienceMs): void {
  const clients = new Map<Socket, Client>();
  server.on('connection', (socket: Socket) => {
    clients.set(socket, { sent: new IdleCount(), taken: new IdleCount(), request: null });
    socket.once('close', () => clients.delete(socket));
  });
  server.on('request', (request: IncomingMessage) => {
    const client = clients.get(request.socket);
    if (client) client.request = request;
  });
  const timer = setInterval(() => {
    for (const [socket, { sent, taken, request }] of clients) {
      const isSending = request !== null && !request.complete;
      // As Node tells it itself of a request that takes too long in all.
      if (sent.look(socket.bytesRead, isSending)) server.emit('clientError', new IdleRequest(), socket);
      if (taken.look(socket.bytesWritten - socket.writableLength, socket.writableLength > 0)) socket.destroy();
    }
  }, patience / looks).unref();
  server.once('close', () => clearInterval(timer));
}

class IdleRequest extends Error {
  readonly code = 'ERR_HTTP_REQUEST_TIMEOUT';
}
