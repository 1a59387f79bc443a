import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import request from 'supertest';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';
import { ApiKeyGuard } from './api-key.guard.js';

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex');
const keys = [
  { name: 'alice', sha256: hashOf('open-sesame') },
  { name: 'scraper', sha256: hashOf('count'), scopes: ['metrics'] },
  { name: 'umlaut', sha256: hashOf('schlüssel') },
];

describe(ApiKeyGuard.name, () => {
  let api: TestApi;
  beforeAll(async () => (api = await startTestApi(`auth.keys=${JSON.stringify(keys)}`)));
  afterAll(() => api.app.close());
  const server = () => request(api.app.getHttpServer());

  it.each([
    ['Authorization', 'Bearer open-sesame'],
    ['Authorization', 'bearer  open-sesame'],
    ['X-API-Key', 'open-sesame'],
  ])('lets a known key in: %s: %s', async (header, value) => {
    await server().get('/info').set(header, value).expect(200);
    await server().post('/text-to-image').set(header, value).send({ prompt: 'x' }).expect(200);
  });

  it('hashes the bytes of a key, as sha256sum does', async () => {
    const bytes = Buffer.from('schlüssel').toString('latin1');
    await server().get('/info').set('X-API-Key', bytes).expect(200);
  });

  it('takes X-API-Key for the key when a gateway uses Authorization for itself', async () => {
    const headers = { Authorization: 'Bearer of-the-gateway', 'X-API-Key': 'open-sesame' };
    await server().get('/info').set(headers).expect(200);
  });

  it.each<[string, Record<string, string>]>([
    ['no key', {}],
    ['an empty key', { 'X-API-Key': '' }],
    ['another key', { 'X-API-Key': 'open-sesam' }],
    ['another Bearer', { Authorization: 'Bearer open-sesame2' }],
    ['no token', { Authorization: 'Bearer ' }],
    ['another scheme', { Authorization: `Basic ${Buffer.from('alice:open-sesame').toString('base64')}` }],
    ['the hash of a key', { 'X-API-Key': hashOf('open-sesame') }],
    ['the name of a key', { 'X-API-Key': 'alice' }],
  ])('answers 401 to %s', async (_, headers) => {
    const { body, headers: sent } = await server()
      .get('/info')
      .set({ ...headers, 'X-Request-Id': 'mine' })
      .expect(401);
    const error = { code: 'UNAUTHENTICATED', type: 'authentication_error', param: null, request_id: 'mine' };
    expect(body).toEqual({ error: { ...error, message: expect.any(String) } });
    expect(sent).toMatchObject({ 'www-authenticate': 'Bearer', 'x-should-retry': 'false' });
  });

  it('lets a key with the scope metrics read the metrics, and no other', async () => {
    await server().get('/metrics').set('X-API-Key', 'count').expect(200);
    await server().get('/metrics').set('X-API-Key', 'open-sesame').expect(403);
    await server().get('/metrics').expect(401);
  });

  it('answers 403 to a key without the scope, and names the key', async () => {
    const { body } = await server().get('/info').set('X-API-Key', 'count').expect(403);
    const error = { code: 'FORBIDDEN', type: 'permission_error', message: 'the key scraper lacks the scope generate' };
    expect(body).toMatchObject({ error });
  });

  it.each(['/health', '/health/live', '/health/ready', '/health/startup', '/docs', '/openapi.json'])(
    'needs no key for %s',
    (path) => server().get(path).expect(200),
  );

  it.each([
    ['/text-to-image', 'application/json', '{"prompt":'],
    ['/text-to-image', 'application/json', '{"width":1}'],
    ['/text-to-image', 'text/plain', 'x'],
    ['/image-to-image', 'multipart/form-data; boundary=x', 'broken'],
    ['/image-to-image', 'text/plain', 'x'],
  ])('comes before what is wrong with a body: %s, %s, %s', async (path, type, body) => {
    await server().post(path).set('Content-Type', type).send(body).expect(401);
    await server().post(path).set({ 'Content-Type': type, 'X-API-Key': 'count' }).send(body).expect(403);
    const { status } = await server().post(path).set({ 'Content-Type': type, 'X-API-Key': 'open-sesame' }).send(body);
    expect([400, 415]).toContain(status);
  });

  it('does not wait for a body that it does not read', async () => {
    const { port } = api.app.getHttpServer().address() as AddressInfo;
    const socket = connect(port, '127.0.0.1').setEncoding('latin1');
    socket.write('POST /text-to-image HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{');
    const [answer] = (await once(socket, 'data')) as [string];
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
  });

  it('is told in the OpenAPI document, and only when there are keys', async () => {
    interface Document {
      components: { securitySchemes?: object };
      paths: Record<string, Record<string, { security?: object; responses: object }>>;
    }
    const document = (await server().get('/openapi.json')).body as Document;
    expect(document.components.securitySchemes).toMatchObject({
      bearer: { type: 'http', scheme: 'bearer' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
    });
    const security = [{ bearer: ['generate'] }, { apiKey: ['generate'] }];
    expect(document.paths['/text-to-image']?.['post']?.security).toEqual(security);
    expect(document.paths['/info']?.['get']?.security).toEqual(security);
    expect(document.paths['/health/ready']?.['get']?.security).toBeUndefined();
    const closed = Object.values(document.paths).flatMap((operations) =>
      Object.values(operations).filter((operation) => operation.security),
    );
    for (const { responses } of closed) expect(Object.keys(responses)).toEqual(expect.arrayContaining(['401', '403']));

    const open = await startTestApi();
    const openDocument = (await request(open.app.getHttpServer()).get('/openapi.json')).body as Document;
    await open.app.close();
    expect(openDocument.components.securitySchemes).toBeUndefined();
    expect(openDocument.paths['/info']?.['get']?.security).toBeUndefined();
  });
});
