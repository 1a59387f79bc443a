import { configTokens, type LimitsConfig } from '@app/config';
import { EngineClient, type ModelInfo } from '@app/engine';
import type { Software } from '@app/inference';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { neededScope } from '../access/needed-scope.js';
import type { FieldContext } from '../fields/field-rules.js';
import { fieldsOf } from '../fields/field.decorator.js';
import { ImageToImageDto } from '../images/image-to-image.dto.js';
import { TextToImageDto } from '../images/text-to-image.dto.js';

const requestClasses = [TextToImageDto, ImageToImageDto];

/** GET /docs and GET /openapi.json. Bounds are put in at each request: the model that some come from is loaded later. */
export function serveDocs(app: INestApplication, { name, version }: Software, withKeys: boolean): void {
  const description =
    'Draws pictures with Qwen-Image models. Bounds of the fields are those of this server and its loaded model.';
  const builder = new DocumentBuilder().setTitle(name).setDescription(description).setVersion(version);
  const document = SwaggerModule.createDocument(app, builder.setOpenAPIVersion('3.1.0').build());
  if (withKeys) describeKeys(document);
  const engine = app.get(EngineClient);
  const limits = app.get<LimitsConfig>(configTokens.limits);
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    patchDocumentOnRequest: (_request, _response, base) => withBounds(base, limits, engine.status().model),
  });
}

/** Says which operations need a key, and that it may come in either header. */
function describeKeys(document: OpenAPIObject): void {
  const components = (document.components ??= {});
  components.securitySchemes = {
    bearer: { type: 'http', scheme: 'bearer' },
    apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
  };
  for (const [path, operations] of Object.entries(document.paths)) {
    if (neededScope(path) === null) continue;
    for (const method of ['get', 'post', 'put', 'delete'] as const) {
      const operation = operations[method];
      if (operation) operation.security = [{ bearer: [] }, { apiKey: [] }];
    }
  }
}

/** The document with the bounds that the validators use. Without a model only what the model decides is left out. */
export function withBounds(base: OpenAPIObject, limits: LimitsConfig, model: ModelInfo | null): OpenAPIObject {
  const document = structuredClone(base);
  if (!model) return document;
  const context: FieldContext = { limits, model, answer: { bytes: false, format: 'png' } };
  for (const Dto of requestClasses) {
    const schema = document.components?.schemas?.[Dto.name];
    if (!schema || !('properties' in schema)) continue;
    for (const [name, { rule }] of fieldsOf(Dto)) {
      const property = schema.properties[name];
      if (property) Object.assign(property, rule.schema(context), defaultOf(name, model));
    }
  }
  return document;
}

function defaultOf(name: string, { defaults }: ModelInfo): { default?: number | string } {
  const values: Readonly<Record<string, number | string>> = {
    width: defaults.width,
    height: defaults.height,
    num_inference_steps: defaults.numInferenceSteps,
    true_cfg_scale: defaults.trueCfgScale,
    negative_prompt: defaults.negativePrompt,
  };
  const value = values[name];
  return value === undefined ? {} : { default: value };
}
