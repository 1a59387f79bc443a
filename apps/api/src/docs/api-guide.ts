import type { OpenAPIObject } from '@nestjs/swagger';
import { curlExample } from './curl-example.js';
import { answerFields, objectLink, requestFields, schemaOf, table, typeText } from './field-table.js';
import { operationsOf, type NamedOperation } from './operations.js';
import { typedClient } from './typed-client.js';

interface Media {
  schema: { $ref?: string; anyOf?: object[]; type?: string };
  example?: unknown;
  examples?: Record<string, { summary: string; value: { error: { type: string } } }>;
}
interface Answer {
  description: string;
  content?: Record<string, Media>;
  headers?: Record<string, { description: string }>;
}
interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema: Parameters<typeof typeText>[0];
}

/** docs/api.md: a spec holds the file equal to this. */
export function apiGuide(document: OpenAPIObject): string {
  const operations = operationsOf(document);
  const sections = (document.tags ?? []).flatMap(({ name, description = '' }) => [
    '',
    `## ${name}`,
    '',
    `${description}.`,
    ...operations
      .filter(({ operation }) => operation.tags?.includes(name))
      .flatMap((named) => route(document, named, operations)),
  ]);
  return [
    ...introduction(operations),
    ...sections,
    ...errors(operations),
    ...objects(document, operations),
    ...client(),
    '',
  ].join('\n');
}

function introduction(operations: readonly NamedOperation[]): string[] {
  const rows = operations.map(({ path, method, operation }) => {
    const heading = `${method.toUpperCase()} ${path}`;
    return [`[\`${heading}\`](#${anchor(heading)})`, operation.summary ?? '', scopeOf(operation) ?? ''];
  });
  return [
    '# HTTP API',
    '',
    '<!-- Made from the OpenAPI document by `npm run docs`; changes belong into apps/api/src. -->',
    '',
    'Ranges and defaults are those of a server with the default settings and the demo model, as `npm start` serves it; `GET /openapi.json` of a',
    'running server has its own, and `GET /docs` is a page to try every route in a browser. The commands below can be typed as they stand, in',
    "the project's folder.",
    '',
    'With `auth.keys` configured, a request to a route that names a scope needs a key that has it, as `Authorization: Bearer KEY` or',
    '`X-API-Key: KEY`; the links of a job carry a token with which it can be read without a key. Without keys all is open, and `/admin` only',
    'where the server listens on loopback.',
    '',
    ...table(['route', '', 'scope'], rows),
  ];
}

function route(document: OpenAPIObject, named: NamedOperation, operations: readonly NamedOperation[]): string[] {
  const { path, method, operation } = named;
  const scope = scopeOf(operation);
  const ofJob = operations.find(({ operation: other }) => other.operationId === 'textToImage') ?? named;
  return [
    '',
    `### ${method.toUpperCase()} ${path}`,
    '',
    `${operation.summary ?? ''}. ${operation.description ?? ''} ${scope === null ? 'No key is needed.' : `Scope: \`${scope}\`.`}`,
    ...fields(document, operation),
    ...parameters(operation),
    '',
    '```sh',
    curlExample(named, ofJob),
    '```',
    ...answers(operation),
  ];
}

function fields(document: OpenAPIObject, { requestBody }: NamedOperation['operation']): string[] {
  if (!requestBody || !('content' in requestBody)) return [];
  return Object.entries(requestBody.content).flatMap(([type, { schema }]) => {
    const name = schema && '$ref' in schema ? (schema.$ref.split('/').at(-1) ?? '') : '';
    const optional = requestBody.required === true ? '' : '; it may be left out';
    return ['', `Body: \`${type}\`${optional}.`, '', ...requestFields(schemaOf(document, name))];
  });
}

function parameters(operation: NamedOperation['operation']): string[] {
  const rows = ((operation.parameters ?? []) as Parameter[]).map(({ name, in: place, required, description = '', schema }) => [
    `\`${name}\``,
    place,
    typeText(schema),
    required === true ? 'yes' : '',
    description,
  ]);
  return rows.length === 0 ? [] : ['', ...table(['parameter', 'in', 'type', 'required', ''], rows)];
}

function answers({ responses }: NamedOperation['operation']): string[] {
  const all = Object.entries(responses as Record<string, Answer>).sort(([a], [b]) => Number(a) - Number(b));
  const rows = all.map(([status, answer]) => [status, contentText(answer), descriptionOf(answer), headersOf(answer)]);
  const [good] = all.filter(([status]) => status.startsWith('2'));
  return ['', ...table(['status', 'answer', 'when', 'headers'], rows), ...(good ? exampleOf(good) : [])];
}

function contentText({ content = {} }: Answer): string {
  const texts = Object.entries(content).map(([type, { schema }]) =>
    schema.$ref === undefined ? `\`${type}\`` : objectLink(schema.$ref),
  );
  return texts.join(', ');
}

/** Errors by their codes: what those mean is told once, for all routes. */
function descriptionOf(answer: Answer): string {
  const codes = Object.keys(errorExamples(answer));
  return codes.length > 0 ? codes.map((code) => `\`${code}\``).join(', ') : answer.description;
}

function headersOf({ headers = {} }: Answer): string {
  return Object.keys(headers)
    .map((name) => `\`${name}\``)
    .join(', ');
}

function exampleOf([status, { content = {} }]: [string, Answer]): string[] {
  const [shown] = Object.entries(content).filter(([, { example }]) => example !== undefined);
  if (!shown) return [];
  const [type, { example }] = shown;
  const text = typeof example === 'string' ? example.trimEnd() : JSON.stringify(example, null, 2);
  return ['', `${status}, \`${type}\`:`, '', type === 'application/json' ? '```json' : '```text', text, '```'];
}

function errorExamples({ content = {} }: Answer): NonNullable<Media['examples']> {
  return content['application/json']?.examples ?? {};
}

function errors(operations: readonly NamedOperation[]): string[] {
  const found = new Map<string, string[]>();
  const shown: object[] = [];
  for (const { operation } of operations) {
    for (const [status, answer] of Object.entries(operation.responses as Record<string, Answer>)) {
      for (const [code, { summary, value }] of Object.entries(errorExamples(answer))) {
        found.set(code, [`\`${code}\``, status, `\`${value.error.type}\``, summary]);
        if (code === 'INVALID_ARGUMENT') shown.push(value);
      }
    }
  }
  const rows = [...found.values()].sort(([, a], [, b]) => Number(a) - Number(b));
  return [
    '',
    '## Errors',
    '',
    'Every error has one shape, on every route, and carries its `request_id` also in the header `X-Request-Id`. Where the same request would',
    'fail again, the answer has `x-should-retry: false`; where another try is worth it later, `Retry-After` says when.',
    '',
    '```json',
    JSON.stringify(shown[0], null, 2),
    '```',
    '',
    ...table(['code', 'status', 'type', 'when'], rows),
  ];
}

/** What answers are made of; bodies of requests have their tables where they are sent. */
function objects(document: OpenAPIObject, operations: readonly NamedOperation[]): string[] {
  const sent = JSON.stringify(operations.map(({ operation }) => operation.requestBody ?? null));
  const answered = JSON.stringify(operations.map(({ operation }) => operation.responses));
  const names = Object.keys(document.components?.schemas ?? {}).filter((name) => {
    const reference = `"#/components/schemas/${name}"`;
    return !sent.includes(reference) || answered.includes(reference);
  });
  const tables = names.map((name) => ['', `### ${name}`, '', ...answerFields(schemaOf(document, name))]);
  return ['', '## Objects', ...tables.flat()];
}

function client(): string[] {
  return [
    '',
    '## A typed client',
    '',
    'Types for TypeScript, made from the document of a running server, and a `fetch` that knows them',
    '([openapi-typescript](https://openapi-ts.dev)). The option keeps fields that have a default optional:',
    '',
    '```sh',
    'npx openapi-typescript http://localhost:3000/openapi.json --default-non-nullable=false -o api.ts',
    '```',
    '',
    '```ts',
    typedClient,
    '```',
  ];
}

function scopeOf({ security = [] }: NamedOperation['operation']): string | null {
  return security[0]?.['bearer']?.[0] ?? null;
}

/** As GitHub makes one of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}
