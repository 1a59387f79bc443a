import { configTokens, type LimitsConfig, type QueueConfig } from '@app/config';
import { EngineClient } from '@app/engine';
import type { Software } from '@app/inference';
import type { INestApplication } from '@nestjs/common';
import { SwaggerModule } from '@nestjs/swagger';
import { apiDocument, withBounds, type Access } from './api-document.js';

/** GET /docs and GET /openapi.json. Bounds are put in at each request: the model that some come from is loaded later. */
export function serveDocs(app: INestApplication, software: Software, access: Access): void {
  const engine = app.get(EngineClient);
  const bounds = { limits: app.get<LimitsConfig>(configTokens.limits), queue: app.get<QueueConfig>(configTokens.queue) };
  SwaggerModule.setup('docs', app, apiDocument(app, software, access), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    patchDocumentOnRequest: (_request, _response, base) => withBounds(base, bounds, engine.status().model),
  });
}
