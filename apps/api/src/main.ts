// First: the other modules take a while to load, and a signal that comes meanwhile counts. As process 1 of a container nothing else heeds it.
import { onFirstSignal } from './signals.js';
import { ConfigError, loadConfig, type AppConfig } from '@app/config';
import { EngineClient, type EngineStatus } from '@app/engine';
import { InferenceService } from '@app/inference';
import { createLogger, createNestLogger } from '@app/observability';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { join } from 'node:path';
import { isLoopback } from './access/loopback.js';
import { ApiModule } from './api.module.js';
import { configureApp } from './configure-app.js';
import { HttpAdapter } from './http-adapter.js';
import { Shutdown } from './shutdown.js';
import { readSoftware } from './software.js';

// dist/apps/api/src/main.js
const projectRoot = join(__dirname, '../../../..');
const hostPath = join(__dirname, '../../engine-host/src/main.js');

function readConfig(): AppConfig {
  const argv = process.argv.slice(2);
  const isTerminal = process.stdout.isTTY;
  try {
    const loaded = loadConfig({ argv, env: process.env, cwd: process.cwd(), projectRoot, isTerminal });
    if (loaded.kind === 'config') return loaded.config;
    process.stdout.write(loaded.text);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

async function main(): Promise<void> {
  const config = readConfig();
  const software = readSoftware(projectRoot);
  const logger = createLogger(config.logging);
  const nestLogger = createNestLogger(logger);
  const app = await NestFactory.create<NestExpressApplication>(
    ApiModule.forRoot({ config, software, hostPath, engineLog: logger }),
    new HttpAdapter(),
    { logger: nestLogger, bodyParser: false, abortOnError: false },
  );
  configureApp(app, logger, config, software);

  const engine = app.get(EngineClient);
  const inference = app.get(InferenceService);
  await inference.open();
  const ending = new Shutdown(app, inference, engine, config.server.shutdownGraceMs);
  onFirstSignal(() => void ending.run().then(() => process.exit(0)));
  engine.onChange(({ state, error }: EngineStatus) => {
    // Only a first load fails for good: nothing was ever served, and the engine has logged why.
    if (state === 'failed') void ending.run().then(() => process.exit(1));
    else if (state === 'restarting') logger.log('warn', 'the engine is restarting', { reason: error?.message });
  });

  const { host, port } = config.server;
  await app.listen(port, host);
  logger.log('info', `listening on ${await app.getUrl()}`, { context: 'http' });
  if (!config.auth.keys && !isLoopback(host)) {
    logger.log('warn', `open to whoever reaches ${host}: there are no auth.keys`, { context: 'http' });
  }
  engine.start();
}

main().catch((error: unknown) => {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`the server cannot start: ${reason}\n`);
  process.exit(1);
});
