import type { OpenAPIObject } from '@nestjs/swagger';
import { Ajv2020 } from 'ajv/dist/2020.js';
import request from 'supertest';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';
import { neededScope } from '../access/needed-scope.js';
import { errorAnswers, type ErrorCode } from '../errors/error-answers.js';
import { operationsOf, type NamedOperation } from './operations.js';

interface Media {
  schema: object;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
type Content = Record<string, Media>;

const documentId = 'openapi.json';
const scopes = ['generate'];
const keys = `auth.keys=${JSON.stringify([{ name: 'alice', sha256: 'ab'.repeat(32), scopes }])}`;
const everywhere: ErrorCode[] = ['FORBIDDEN', 'METHOD_NOT_ALLOWED', 'INTERNAL'];
const ofJson: ErrorCode[] = ['INVALID_ARGUMENT', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'];

/** What each route can give beside the errors of all routes: the table of the HTTP contract, by route. */
const errorsOf: Record<string, ErrorCode[]> = {
  ...Object.fromEntries(['getHealth', 'getLiveness', 'getReadiness', 'getStartup'].map((name) => [name, []])),
  getMetrics: ['UNAUTHENTICATED'],
  getInfo: ['UNAUTHENTICATED', 'ENGINE_UNAVAILABLE'],
  getLogLevel: ['UNAUTHENTICATED'],
  putLogLevel: ['UNAUTHENTICATED', ...ofJson],
  loadModel: ['UNAUTHENTICATED', ...ofJson, 'ENGINE_UNAVAILABLE'],
  unloadModel: ['UNAUTHENTICATED', ...ofJson, 'ENGINE_UNAVAILABLE'],
  getJob: ['UNAUTHENTICATED', 'INVALID_ARGUMENT', 'NOT_FOUND'],
  cancelJob: ['UNAUTHENTICATED', 'INVALID_ARGUMENT', 'NOT_FOUND', 'INTERRUPTED'],
  streamJobEvents: ['UNAUTHENTICATED', 'INVALID_ARGUMENT', 'NOT_FOUND'],
  getJobImage: ['UNAUTHENTICATED', 'INVALID_ARGUMENT', 'NOT_FOUND', 'NOT_READY'],
  // Everything but what is of jobs, and of files where none come.
  textToImage: codesWithout('NOT_FOUND', 'NOT_READY', 'INVALID_IMAGE', ...everywhere),
  imageToImage: codesWithout('NOT_FOUND', 'NOT_READY', ...everywhere),
};

function codesWithout(...others: ErrorCode[]): ErrorCode[] {
  return (Object.keys(errorAnswers) as ErrorCode[]).filter((code) => !others.includes(code));
}

describe('the OpenAPI document', () => {
  let api: TestApi;
  let document: OpenAPIObject;
  let operations: NamedOperation[];
  const ajv = new Ajv2020({ strict: false, logger: false, formats: { byte: true, binary: true, int64: true, uuid: true } });
  beforeAll(async () => {
    api = await startTestApi(keys);
    const { text } = await request(api.app.getHttpServer()).get('/openapi.json').expect(200);
    document = JSON.parse(text) as OpenAPIObject;
    ajv.addSchema({ ...(JSON.parse(text.replaceAll('"$ref":"#/', `"$ref":"${documentId}#/`)) as object), $id: documentId });
    operations = operationsOf(document);
  });
  afterAll(() => api.app.close());

  const responsesOf = ({ operation }: NamedOperation) =>
    Object.entries(operation.responses as Record<string, { content?: Content; headers?: object }>);
  const examplesOf = ({ example, examples = {} }: Media) =>
    example === undefined ? Object.values(examples).map(({ value }) => value) : [example];

  it('tells of every error that a route can give, each with an example', () => {
    const told = operations.map((named) => {
      const errors = responsesOf(named).filter(([status]) => Number(status) >= 400);
      const codes = errors.flatMap(([status, { content }]) =>
        Object.entries(content?.['application/json']?.examples ?? {}).map(([code, { value }]) => {
          const { error } = value as { error: { code: ErrorCode; type: string } };
          expect(error.code).toBe(code);
          expect(errorAnswers[error.code]).toMatchObject({ status: Number(status), type: error.type });
          return code;
        }),
      );
      return [named.operation.operationId, codes.sort()];
    });
    const wanted = Object.entries(errorsOf).map(([name, codes]) => [name, [...everywhere, ...codes].sort()]);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(wanted));
  });

  it('tells what no controller gives: of paths that cannot be read, and of bodies in other characters', async () => {
    const open = await startTestApi();
    const server = request(open.app.getHttpServer());
    for (const path of ['/jobs/%E0%A4%A', '/jobs/%E0%A4%A/events', '/jobs/%E0%A4%A/images/0']) {
      await server.get(path).expect(400, /INVALID_ARGUMENT/);
    }
    const type = 'application/json; charset=latin1';
    for (const path of ['/admin/model/load', '/admin/model/unload', '/text-to-image']) {
      await server
        .post(path)
        .set('content-type', type)
        .send('{}')
        .expect(415, /UNSUPPORTED_MEDIA_TYPE/);
    }
    await open.app.close();
  });

  it('has an example of every request and of every answer that is text, as their schemas are', () => {
    let count = 0;
    const check = (of: string, content: Content = {}) => {
      for (const [type, media] of Object.entries(content)) {
        if (type.startsWith('image/')) continue;
        expect([of, type, examplesOf(media).length]).not.toEqual([of, type, 0]);
        const schema = JSON.parse(JSON.stringify(media.schema).replaceAll('"$ref":"#/', `"$ref":"${documentId}#/`)) as object;
        for (const example of examplesOf(media)) {
          const valid = ajv.validate(schema, example);
          expect([of, type, valid ? null : ajv.errorsText()]).toEqual([of, type, null]);
          count += 1;
        }
      }
    };
    for (const named of operations) {
      const { path, method, operation } = named;
      check(`${method} ${path}`, (operation.requestBody as { content: Content } | undefined)?.content);
      for (const [status, { content }] of responsesOf(named)) check(`${method} ${path} ${status}`, content);
    }
    expect(count).toBeGreaterThan(100);
  });

  it('shows of each operation its own answers', () => {
    const shown = (name: string) => {
      const { operation } = operations.find((named) => named.operation.operationId === name)!;
      return (operation.responses['200'] as { content: Content }).content['application/json']!.example;
    };
    expect(shown('textToImage')).not.toHaveProperty('parameters.strength');
    expect(shown('imageToImage')).toHaveProperty('parameters.strength', 0.6);
    expect(shown('getJob')).toHaveProperty('status', 'completed');
    expect(shown('cancelJob')).toMatchObject({ status: 'cancelled', progress: null });
  });

  it('lets no body have fields that its route refuses', () => {
    const bodies = JSON.stringify(operations.map(({ operation }) => operation.requestBody ?? {}));
    const names = [...bodies.matchAll(/schemas\/(\w+)"/g)].map(([, name = '']) => name);
    expect(names.sort()).toEqual(['ImageToImageDto', 'LoadBody', 'LogLevelBody', 'TextToImageDto']);
    for (const name of names) expect(document.components?.schemas?.[name]).toHaveProperty('additionalProperties', false);
  });

  it('says which scope a key needs, and 401 where it is needed only', () => {
    for (const { path, method, operation } of operations) {
      const scope = neededScope(path.replace('{', ':').replace('}', ''));
      const needed = (operation.security ?? document.security ?? []).flatMap((way) => Object.entries(way));
      const byToken = path.startsWith('/jobs/') && method === 'get' ? [['jobToken', []]] : [];
      const wanted = scope === null ? [] : [['bearer', [scope]], ['apiKey', [scope]], ...byToken];
      expect([path, method, needed]).toEqual([path, method, wanted]);
      expect([path, '401' in operation.responses]).toEqual([path, scope !== null]);
    }
  });

  it('has a summary, a description and one described tag for every operation, a licence and a server', () => {
    const tags = new Map(document.tags?.map(({ name, description }) => [name, description]));
    for (const { operation } of operations) {
      expect(operation.summary).toMatch(/^[A-Z]/);
      expect(operation.description).toMatch(/\w/);
      expect(operation.tags).toHaveLength(1);
      expect(tags.get(operation.tags?.[0] ?? '')).toMatch(/\w/);
    }
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
    expect(document.info).toMatchObject({ license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' } });
    expect(document.servers).toEqual([{ url: '/', description: 'this server' }]);
  });

  it('begins its servers with server.publicUrl, path and all', async () => {
    const proxied = await startTestApi('server.publicUrl=https://img.example.com/v2/');
    const { body } = await request(proxied.app.getHttpServer()).get('/openapi.json').expect(200);
    expect((body as OpenAPIObject).servers?.map(({ url }) => url)).toEqual(['https://img.example.com/v2', '/']);
    await proxied.app.close();
  });
});
