import { ExpressAdapter } from '@nestjs/platform-express';
import { createServer } from 'node:http';

/** Node looks for requests that are late every 30 s otherwise: each of its limits would be up to so much longer. */
const connectionsCheckingInterval = 2000;

/** Nest's own, but that a request without a Host is let in: the service refuses it in its own shape, Node with a status alone. */
export class HttpAdapter extends ExpressAdapter {
  override initHttpServer(): void {
    this.httpServer = createServer({ requireHostHeader: false, connectionsCheckingInterval }, this.getInstance());
  }
}
