import { once } from 'node:events';
import http, { type IncomingHttpHeaders } from 'node:http';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Headers } from './headers.js';
import type { RawRequest } from './raw-requests.js';
import type { FuzzRequest } from './requests.js';
import { recentJob } from './targets.js';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** Whether all of it came. */
  whole: boolean;
}

/** Longer than any answer to these requests can take; who waits longer waits for ever. */
const patienceMs = 120_000;
/** A raw exchange is over when the server says nothing for so long. */
const quietMs = 100;

/** Sends what no well-behaved client would, over connections that are kept. */
export class Wire {
  private readonly agent: http.Agent;
  private recent = '00000000-0000-4000-8000-000000000000';

  constructor(
    private readonly port: number,
    connections: number,
    /** Sent along unless the request has its own. */
    private readonly usual: Headers,
  ) {
    this.agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  }

  /** Null when the connection ended without an answer. */
  async send(request: FuzzRequest): Promise<Answer | null> {
    const answer = await this.exchange(request);
    const made = answer?.headers['x-job-id'] ?? answer?.headers.location?.split('/').at(-1);
    if (typeof made === 'string') this.recent = made;
    return answer;
  }

  close(): void {
    this.agent.destroy();
  }

  /** All that the server said. */
  async sendRaw({ bytes }: RawRequest): Promise<string> {
    const socket = net.connect(this.port, '127.0.0.1');
    const chunks: Buffer[] = [];
    let heard = performance.now();
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      heard = performance.now();
    });
    socket.on('error', () => {}); // a reset is an answer too
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await once(socket, 'connect');
    socket.write(bytes);
    while (!socket.closed && performance.now() - heard < quietMs) await Promise.race([closed, sleep(quietMs / 4)]);
    socket.end();
    const tooLong = sleep(patienceMs, 'kept', { ref: false });
    if ((await Promise.race([closed, tooLong])) === 'kept')
      throw new Error('the server keeps a connection that its client has ended');
    return Buffer.concat(chunks).toString('latin1');
  }

  private async exchange(request: FuzzRequest): Promise<Answer | null> {
    for (;;) {
      const { answer, stale } = await this.once(request);
      if (!stale) return answer;
    }
  }

  /** Stale: a kept connection that the server had closed already; as a client would, one tries again. */
  private once({ method, target, headers, body, delivery }: FuzzRequest): Promise<{ answer: Answer | null; stale: boolean }> {
    return new Promise((resolve, reject) => {
      const path = target.replace(recentJob, this.recent);
      const outgoing = http.request({ port: this.port, host: '127.0.0.1', agent: this.agent, method, path, setHost: false });
      for (const [name, value] of Object.entries({ host: `127.0.0.1:${this.port}`, ...this.usual, ...headers }))
        outgoing.setHeader(name, value);
      const bound = setTimeout(() => {
        outgoing.destroy();
        reject(new Error(`no answer within ${patienceMs} ms`));
      }, patienceMs);
      let answer: Answer | null = null;
      outgoing.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', () => {});
        response.on('close', () => {
          const { statusCode = 0, headers, complete } = response;
          answer = { status: statusCode, headers, body: Buffer.concat(chunks), whole: complete };
        });
      });
      let failure: NodeJS.ErrnoException | null = null;
      outgoing.on('error', (error) => (failure = error));
      outgoing.on('close', () => {
        clearTimeout(bound);
        const stale = answer === null && outgoing.reusedSocket && failure?.code === 'ECONNRESET' && delivery.kind !== 'abort';
        // The answer's own 'close' comes in the same turn, after this one or before.
        setImmediate(() => resolve({ answer, stale }));
      });
      // What goes wrong meanwhile is told by the request itself.
      deliver(outgoing, body ?? Buffer.alloc(0), delivery, body !== null).catch(() => {});
    });
  }
}

async function deliver(
  outgoing: http.ClientRequest,
  body: Buffer,
  delivery: FuzzRequest['delivery'],
  hasBody: boolean,
): Promise<void> {
  if (delivery.kind === 'truncated') {
    outgoing.setHeader('content-length', body.length + delivery.missing);
    outgoing.write(body);
    const [socket] = (await once(outgoing, 'socket')) as [net.Socket];
    await sleep(5);
    if (delivery.how === 'end') socket.end();
    else socket.resetAndDestroy();
    return;
  }
  if (delivery.kind === 'chunked' && hasBody) {
    outgoing.setHeader('transfer-encoding', 'chunked'); // without it Node sends the body of a GET unframed
    const size = Math.ceil(body.length / delivery.pieces) || 1;
    for (let at = 0; at < body.length; at += size) outgoing.write(body.subarray(at, at + size));
    outgoing.end();
    return;
  }
  if (hasBody) outgoing.setHeader('content-length', body.length);
  outgoing.end(body);
  if (delivery.kind === 'abort') {
    await sleep(delivery.afterMs);
    outgoing.destroy();
  }
}
