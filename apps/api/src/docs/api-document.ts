import type { Software } from '@app/inference';
import type { INestApplicationContext } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject, type SchemaObject } from '@nestjs/swagger';
import type { FieldContext, FieldModel } from '../fields/field-rules.js';
import { fieldsOf } from '../fields/field.decorator.js';
import { ImageToImageDto } from '../images/image-to-image.dto.js';
import { TextToImageDto } from '../images/text-to-image.dto.js';
import { usableDefaults } from '../images/usable-defaults.js';
import { addAnswerExamples } from './answer-examples.js';
import { describeCommonErrors } from './common-errors.js';
import { describeKeys } from './keys.js';
import { operationsOf } from './operations.js';

const requestClasses = [TextToImageDto, ImageToImageDto] as const;
type RequestClass = (typeof requestClasses)[number];
type Application = INestApplicationContext & Parameters<typeof SwaggerModule.createDocument>[0];

const tags = {
  images: 'Draws pictures',
  jobs: 'Pictures that nobody waits for on the connection: a job is read, followed and cancelled',
  info: 'What is served, and within which limits',
  health: 'For people, load balancers and probes; no key is needed',
  metrics: 'For Prometheus',
  admin: 'Changes the service itself. Without API keys only where the server listens on loopback',
};

const mustBeGiven = 'must be given: what the model would choose is not within the limits of this server';

export interface Access {
  withKeys: boolean;
  /** As server.publicUrl. */
  publicUrl: string | null;
}

/** What is served, without the bounds of fields. */
export function apiDocument(app: Application, { name, version }: Software, { withKeys, publicUrl }: Access): OpenAPIObject {
  const description =
    'Draws pictures with Qwen-Image models. Bounds of the fields are those of this server and its loaded model. Whatever the route, what ' +
    'is no whole HTTP request is answered 400, 408, 413, 417 or 431, in the shape of all errors.';
  const builder = new DocumentBuilder().setTitle(name).setDescription(description).setVersion(version);
  for (const [tag, text] of Object.entries(tags)) builder.addTag(tag, text);
  // The first is what tools and Swagger UI take. The other is for who reaches the server past the proxy in front of it.
  if (publicUrl !== null) builder.addServer(publicUrl, 'as clients reach it');
  builder.addServer('/', 'this server').setOpenAPIVersion('3.1.0');
  const document = SwaggerModule.createDocument(app, builder.build());
  Object.assign(document.info, { license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' } });
  // Operations of routes that are switched off are not there, and neither are their tags.
  const used = new Set(operationsOf(document).flatMap(({ operation }) => operation.tags ?? []));
  document.tags = (document.tags ?? []).filter((tag) => used.has(tag.name));
  refuseUnknownFields(document);
  describeCommonErrors(document);
  addAnswerExamples(document);
  describeKeys(document, withKeys);
  return document;
}

/** Of every body that can be sent: no route takes fields that it does not know. */
function refuseUnknownFields(document: OpenAPIObject): void {
  for (const { operation } of operationsOf(document)) {
    const body = operation.requestBody;
    for (const { schema } of Object.values(body && 'content' in body ? body.content : {})) {
      const name = schema && '$ref' in schema ? (schema.$ref.split('/').at(-1) ?? '') : '';
      const sent = document.components?.schemas?.[name];
      if (sent && !('$ref' in sent)) sent.additionalProperties = false;
    }
  }
}

/** The document with the bounds that the validators use; before the first model is loaded there are none. */
export function withBounds(
  base: OpenAPIObject,
  bounds: Pick<FieldContext, 'limits' | 'queue'>,
  model: FieldModel | null,
): OpenAPIObject {
  const document = structuredClone(base);
  if (!model) return document;
  const context: FieldContext = { ...bounds, model, answer: { bytes: false, format: 'png' }, async: true };
  for (const [Dto, schema] of requestSchemas(document)) {
    for (const [name, { rule }] of fieldsOf(Dto)) {
      const property = schema.properties?.[name];
      if (!property) continue;
      const [value, isOwn] = [defaultOf(name, model, context), isOwnSize(name, Dto)];
      Object.assign(property, rule.schema(context));
      if (value !== null && value !== undefined) Object.assign(property, isOwn ? { example: value } : { default: value });
      else if (value === null && !isOwn) {
        schema.required = [...(schema.required ?? []), name];
        Object.assign(property, { description: mustBeGiven });
      }
    }
  }
  return document;
}

function requestSchemas({ components }: OpenAPIObject): Map<RequestClass, SchemaObject> {
  return new Map(requestClasses.map((Dto) => [Dto, components?.schemas?.[Dto.name] as SchemaObject]));
}

/** A picture that is drawn anew keeps its own size. */
function isOwnSize(name: string, Dto: RequestClass): boolean {
  return Dto === ImageToImageDto && (name === 'width' || name === 'height');
}

/** Undefined: it is not of the model; null: the limits rule the model's out. */
function defaultOf(name: string, { defaults }: FieldModel, { limits, queue }: FieldContext): number | string | null | undefined {
  const { width, height, numInferenceSteps } = usableDefaults(defaults, limits);
  const values: Readonly<Record<string, number | string | null>> = {
    width,
    height,
    num_inference_steps: numInferenceSteps,
    true_cfg_scale: defaults.trueCfgScale,
    negative_prompt: defaults.negativePrompt,
    timeout_ms: queue.timeoutMs,
  };
  return values[name];
}
