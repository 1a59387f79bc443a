import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** In front of a service, as a proxy that knows it by a path, which it takes away; the Host goes through. */
export class PrefixProxy {
  /** Where the service is told to be. */
  readonly url: string;
  /** Where the proxied service listens. */
  target = '';

  private constructor(
    private readonly server: Server,
    private readonly prefix: string,
  ) {
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`;
    server.on('request', (incoming, outgoing) => {
      if (!incoming.url?.startsWith(`${this.prefix}/`)) return void outgoing.writeHead(404).end();
      const { method, headers } = incoming;
      const path = incoming.url.slice(this.prefix.length);
      const forwarded = request(this.target, { path, method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      forwarded.on('error', () => outgoing.destroy());
      incoming.pipe(forwarded);
    });
  }

  static async open(prefix: string): Promise<PrefixProxy> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new PrefixProxy(server, prefix);
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
