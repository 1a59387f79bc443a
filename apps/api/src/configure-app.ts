import { accessLog, requestId, type createLogger } from '@app/observability';
import type { AppConfig } from '@app/config';
import type { Software } from '@app/inference';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { json } from 'express';
import { isUtf8 } from 'node:buffer';
import { serveDocs } from './docs/openapi.js';

const maxJsonBytes = 1024 * 1024;
/** Longer than load balancers keep an idle connection, so that they are the ones to close it. */
const keepAliveMs = 75_000;

/** All that Express must know; the application is created without Nest's own body parsers. */
export function configureApp(
  app: NestExpressApplication,
  logger: ReturnType<typeof createLogger>,
  { docs }: Pick<AppConfig, 'docs'>,
  software: Software,
): void {
  app.disable('x-powered-by');
  // Hashing megabytes of base64 for a tag that no client sends back holds up the event loop.
  app.disable('etag');
  app.use(requestId);
  app.use(accessLog(logger));
  app.use(json({ limit: maxJsonBytes, strict: false, verify: refuseOtherEncodings }));
  app.getHttpServer().keepAliveTimeout = keepAliveMs;
  if (docs.enabled) serveDocs(app, software);
}

/** Bytes that are no text would silently become other characters. */
function refuseOtherEncodings(_request: unknown, _response: unknown, body: Buffer): void {
  if (!isUtf8(body)) throw new Error('not UTF-8'); // the parser's own error goes around it
}
