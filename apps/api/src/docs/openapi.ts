import { configTokens, type LimitsConfig, type QueueConfig } from '@app/config';
import { EngineClient, type ModelInfo } from '@app/engine';
import type { Software } from '@app/inference';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject, type SchemaObject } from '@nestjs/swagger';
import { isJobPath, neededScope } from '../access/needed-scope.js';
import type { FieldContext } from '../fields/field-rules.js';
import { fieldsOf } from '../fields/field.decorator.js';
import { ImageToImageDto } from '../images/image-to-image.dto.js';
import { TextToImageDto } from '../images/text-to-image.dto.js';

const requestClasses = [TextToImageDto, ImageToImageDto] as const;
type RequestClass = (typeof requestClasses)[number];

/** GET /docs and GET /openapi.json. Bounds are put in at each request: the model that some come from is loaded later. */
export function serveDocs(app: INestApplication, { name, version }: Software, withKeys: boolean): void {
  const description =
    'Draws pictures with Qwen-Image models. Bounds of the fields are those of this server and its loaded model. Whatever the route, what ' +
    'is no whole HTTP request is answered 400, 408, 413, 417 or 431, in the shape of all errors.';
  const builder = new DocumentBuilder().setTitle(name).setDescription(description).setVersion(version).addServer('/');
  const document = SwaggerModule.createDocument(app, builder.setOpenAPIVersion('3.1.0').build());
  for (const schema of requestSchemas(document).values()) schema.additionalProperties = false;
  if (withKeys) describeKeys(document);
  const engine = app.get(EngineClient);
  const bounds = { limits: app.get<LimitsConfig>(configTokens.limits), queue: app.get<QueueConfig>(configTokens.queue) };
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    patchDocumentOnRequest: (_request, _response, base) => withBounds(base, bounds, engine.status().model),
  });
}

/** Says which operations need a key, and that it may come in either header. */
function describeKeys(document: OpenAPIObject): void {
  const components = (document.components ??= {});
  components.securitySchemes = {
    bearer: { type: 'http', scheme: 'bearer' },
    apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
    jobToken: { type: 'apiKey', in: 'query', name: 'token', description: 'of this job: it is in the links of the job' },
  };
  for (const [path, operations] of Object.entries(document.paths)) {
    if (neededScope(path) === null) continue;
    for (const method of ['get', 'post', 'put', 'delete'] as const) {
      const operation = operations[method];
      const byToken = method === 'get' && isJobPath(path) ? [{ jobToken: [] }] : [];
      if (operation) operation.security = [{ bearer: [] }, { apiKey: [] }, ...byToken];
    }
  }
}

/** The document with the bounds that the validators use; before the first model is loaded there are none. */
export function withBounds(
  base: OpenAPIObject,
  bounds: Pick<FieldContext, 'limits' | 'queue'>,
  model: ModelInfo | null,
): OpenAPIObject {
  const document = structuredClone(base);
  if (!model) return document;
  const context: FieldContext = { ...bounds, model, answer: { bytes: false, format: 'png' }, async: true };
  for (const [Dto, { properties }] of requestSchemas(document)) {
    for (const [name, { rule }] of fieldsOf(Dto)) {
      const property = properties?.[name];
      if (property) Object.assign(property, rule.schema(context), valueToShow(name, Dto, context));
    }
  }
  return document;
}

function requestSchemas({ components }: OpenAPIObject): Map<RequestClass, SchemaObject> {
  return new Map(requestClasses.map((Dto) => [Dto, components?.schemas?.[Dto.name] as SchemaObject]));
}

/** The model's default; only an example where it is none: a picture that is drawn anew keeps its own size. */
function valueToShow(
  name: string,
  Dto: RequestClass,
  { model: { defaults }, queue }: FieldContext,
): Pick<SchemaObject, 'default' | 'example'> {
  const values: Readonly<Record<string, number | string>> = {
    width: defaults.width,
    height: defaults.height,
    num_inference_steps: defaults.numInferenceSteps,
    true_cfg_scale: defaults.trueCfgScale,
    negative_prompt: defaults.negativePrompt,
    timeout_ms: queue.timeoutMs,
  };
  const value = values[name];
  if (value === undefined) return {};
  return Dto === ImageToImageDto && (name === 'width' || name === 'height') ? { example: value } : { default: value };
}
