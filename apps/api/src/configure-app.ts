import { accessLog, requestId, traceRequests, type createLogger } from '@app/observability';
import type { AppConfig, ServerConfig } from '@app/config';
import type { Software } from '@app/inference';
import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { refuseForeignPages } from './access/foreign-pages.middleware.js';
import { isLoopback } from './access/loopback.js';
import { serveDocs } from './docs/openapi.js';
import { answerHttpFaults } from './errors/http-faults.js';
import { admitExpectations, refuseOddRequests } from './errors/odd-requests.js';
import { HttpMetrics } from './metrics/http.metrics.js';
import { cutOffIdleClients } from './idle-clients.js';

/** A client that sends slower than this holds a connection, not work: headers, then the whole request with its files. */
const headersTimeoutMs = 60_000;
const requestTimeoutMs = 300_000;

/** All that Express must know; the application is created without Nest's own body parsers. */
export function configureApp(
  app: NestExpressApplication,
  logger: ReturnType<typeof createLogger>,
  { server, auth, docs }: Pick<AppConfig, 'server' | 'auth' | 'docs'>,
  software: Software,
): void {
  app.disable('x-powered-by');
  // Hashing megabytes of base64 for a tag that no client sends back holds up the event loop.
  app.disable('etag');
  app.set('trust proxy', server.trustProxy);
  app.use(requestId);
  app.use(traceRequests);
  app.use(accessLog(logger));
  app.use(app.get(HttpMetrics).watch);
  app.use(securityHeaders());
  app.use(refuseOddRequests);
  if (!auth.keys && isLoopback(server.host)) app.use(refuseForeignPages(server));
  if (server.corsOrigins.length > 0) allowOrigins(app, server);
  const http = app.getHttpServer();
  http.keepAliveTimeout = server.keepAliveMs;
  http.headersTimeout = headersTimeoutMs;
  http.requestTimeout = requestTimeoutMs;
  answerHttpFaults(http);
  admitExpectations(http);
  cutOffIdleClients(http);
  if (docs.enabled) serveDocs(app, software, { withKeys: auth.keys !== null, publicUrl: server.publicUrl });
}

/** The only page is Swagger UI: it has styles in its HTML, icons as data: and shows pictures that it fetched as blob:. */
function securityHeaders() {
  const self = "'self'";
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: [self],
        styleSrc: [self, "'unsafe-inline'"],
        imgSrc: [self, 'data:', 'blob:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: [self],
        frameAncestors: ["'none'"],
      },
    },
    // Of the name in front, which may have other services: whoever ends TLS says it.
    strictTransportSecurity: false,
  });
}

/** Headers that a page of another origin may read, beside those that it always may. */
const exposedHeaders = [
  'Allow',
  'Location',
  'Preference-Applied',
  'RateLimit-Limit',
  'RateLimit-Remaining',
  'RateLimit-Reset',
  'Retry-After',
  'traceresponse',
  'X-Job-Id',
  'X-Request-Id',
  'X-Seed',
  'X-Should-Retry',
  'X-Warnings',
];

function allowOrigins(app: NestExpressApplication, { corsOrigins }: ServerConfig): void {
  const origin = corsOrigins.includes('*') ? '*' : [...corsOrigins];
  app.enableCors({ origin, exposedHeaders, maxAge: 600 });
}
