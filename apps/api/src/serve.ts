import type { AppConfig } from '@app/config';
import { EngineClient, type EngineStatus } from '@app/engine';
import { InferenceService } from '@app/inference';
import { createLogger, createNestLogger, startTracing } from '@app/observability';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AsyncResource } from 'node:async_hooks';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isLoopback } from './access/loopback.js';
import { cannotListen } from './cannot-listen.js';
import { ApiModule } from './api.module.js';
import { configureApp } from './configure-app.js';
import { HttpAdapter } from './http-adapter.js';
import { projectRoot } from './project-root.js';
import { Shutdown } from './shutdown.js';
import { onFirstSignal } from './signals.js';
import { readSoftware } from './software.js';

/** A receiver of spans that does not answer holds the end up no longer. */
const lastSpansMs = 3000;

const hostPath = join(__dirname, '../../engine-host/src/main.js');

/** From a configuration to a server that listens; it ends by a signal, or when its first model cannot be loaded. */
export async function serve(config: AppConfig): Promise<void> {
  const software = readSoftware(projectRoot);
  const logger = createLogger(config.logging);
  // Bound to the start: the record would have the ids of whichever request was traced last.
  const onLost = AsyncResource.bind((reason: string) => {
    logger.log('warn', `spans did not reach ${String(config.tracing.otlpEndpoint)}: ${reason}`, { context: 'tracing' });
  });
  const flushSpans = await startTracing(config.tracing, software, onLost);
  const nestLogger = createNestLogger(logger);
  const app = await NestFactory.create<NestExpressApplication>(
    ApiModule.forRoot({ config, software, hostPath, logger }),
    new HttpAdapter(),
    { logger: nestLogger, bodyParser: false, abortOnError: false },
  );
  configureApp(app, logger, config, software);

  const engine = app.get(EngineClient);
  const inference = app.get(InferenceService);
  await inference.open();
  const ending = new Shutdown(app, inference, engine, config.server.shutdownGraceMs);
  const end = (code: number) =>
    void ending
      .run()
      .then(() => Promise.race([flushSpans(), delay(lastSpansMs)]))
      .then(
        () => process.exit(code),
        (error: unknown) => {
          logger.log('error', `the end has failed: ${String(error)}`, { context: 'Shutdown' });
          process.exit(1);
        },
      );
  onFirstSignal(() => end(0));
  let hasServed = false;
  engine.onChange(({ state, error }: EngineStatus) => {
    hasServed ||= state === 'ready';
    // Nothing was ever served, and the engine has logged why. Later an operator has chosen the model, and may choose another one.
    if (state === 'failed' && !hasServed) end(1);
    else if (state === 'restarting') logger.log('warn', 'the engine is restarting', { reason: error?.message });
  });

  const { host, port } = config.server;
  await app.listen(port, host).catch((error: unknown) => {
    throw cannotListen(error, config.server);
  });
  logger.log('info', `listening on ${await app.getUrl()}`, { context: 'http' });
  if (!config.auth.keys && !isLoopback(host)) {
    logger.log('warn', `open to whoever reaches ${host}: there are no auth.keys`, { context: 'http' });
  }
  engine.start();
}
