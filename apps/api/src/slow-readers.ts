import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** A client that has taken nothing of what was written to it for so long is gone, or might as well be. */
export const patienceMs = 60_000;
const looks = 4;

interface Reader {
  /** Bytes that the system has taken, at the last look. */
  taken: number;
  /** Looks since it took any. */
  idleLooks: number;
}

/**
 * Cuts off clients that do not read: what is written for them would be held as long as they like, and by as many of them as like
 * to. Answers are written in pieces, so one that is read slowly goes on. Time is counted in looks: while the machine slept nobody could read.
 */
export function cutOffSlowReaders(server: Server, patience = patienceMs): void {
  const readers = new Map<Socket, Reader>();
  server.on('connection', (socket: Socket) => {
    readers.set(socket, { taken: 0, idleLooks: 0 });
    socket.once('close', () => readers.delete(socket));
  });
  const timer = setInterval(() => {
    for (const [socket, reader] of readers) {
      if (hasStopped(socket, reader)) socket.destroy();
    }
  }, patience / looks).unref();
  server.once('close', () => clearInterval(timer));
}

function hasStopped(socket: Socket, reader: Reader): boolean {
  const taken = socket.bytesWritten - socket.writableLength;
  const isIdle = socket.writableLength > 0 && taken === reader.taken;
  reader.taken = taken;
  reader.idleLooks = isIdle ? reader.idleLooks + 1 : 0;
  return reader.idleLooks >= looks;
}
