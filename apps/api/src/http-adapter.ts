import { ExpressAdapter } from '@nestjs/platform-express';
import { createServer } from 'node:http';

/** Nest's own, but that a request without a Host is let in: the service refuses it in its own shape, Node with a status alone. */
export class HttpAdapter extends ExpressAdapter {
  override initHttpServer(): void {
    this.httpServer = createServer({ requireHostHeader: false }, this.getInstance());
  }
}
