import { loadConfig } from '@app/config';
import { readGenerationDefaults, resolveDefaults } from '@app/engine';
import { createLogger } from '@app/observability';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { OpenAPIObject } from '@nestjs/swagger';
import { PassThrough } from 'node:stream';
import { ApiModule } from '../api.module.js';
import { readSoftware } from '../software.js';
import { apiDocument, withBounds } from './api-document.js';

/** What the engine tells of the demo model, which is what `npm start` serves; a test holds it against a server that runs. */
const ofDemo = { class: 'QwenImagePipeline', sizeMultiple: 16, minSteps: 2, refusedTokens: [], defaultSide: 256 };

/** The document of a server with the defaults and API keys, without an engine: nothing is started and nobody listens. */
export async function offlineDocument(projectRoot: string): Promise<OpenAPIObject> {
  const loaded = loadConfig({ argv: [], env: {}, cwd: projectRoot, projectRoot });
  if (loaded.kind !== 'config') throw new Error('the defaults are no configuration');
  const { config } = loaded;
  const software = readSoftware(projectRoot);
  const logger = createLogger(config.logging, new PassThrough().resume());
  const module = ApiModule.forRoot({ config, software, hostPath: '', logger });
  // preview: the classes are read, and none of them is made.
  const app = await NestFactory.create<NestExpressApplication>(module, { preview: true, logger: false, abortOnError: false });
  const document = apiDocument(app, software, { withKeys: true, publicUrl: null });
  await app.close();
  const { path } = config.model;
  const defaults = resolveDefaults(await readGenerationDefaults(path, ofDemo.class), ofDemo);
  return withBounds(document, config, { ...ofDemo, defaults });
}
