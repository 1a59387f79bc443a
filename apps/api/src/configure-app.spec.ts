import request from 'supertest';
import { startTestApi, type TestApi } from '../../../test/fixtures/test-api.js';
import { configureApp } from './configure-app.js';

describe(configureApp.name, () => {
  let api: TestApi;
  beforeAll(async () => (api = await startTestApi('server.keepAliveMs=90000')));
  afterAll(() => api.app.close());

  it.each(['/info', '/docs', '/nowhere'])('sends %s with headers that a browser is careful by', async (path) => {
    const { headers } = await request(api.app.getHttpServer()).get(path);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
      'referrer-policy': 'no-referrer',
    });
    expect(headers['content-security-policy']?.split(';')).toEqual([
      "default-src 'self'",
      "style-src 'self' 'unsafe-inline'",
      "img-src 'self' data: blob:",
      "object-src 'none'",
      "base-uri 'none'",
      "form-action 'self'",
      "frame-ancestors 'none'",
    ]);
    for (const name of ['x-powered-by', 'etag', 'strict-transport-security']) expect(headers).not.toHaveProperty(name);
  });

  it.each([
    ['Range', 'bytes=99999999-'],
    ['If-Match', '"another"'],
    ['If-Unmodified-Since', 'Thu, 01 Jan 1970 00:00:00 GMT'],
  ])('takes a file of the documentation under a %s that cannot be met for a fault of the request', async (name, value) => {
    const { status, body } = await request(api.app.getHttpServer()).get('/docs/swagger-ui.css').set(name, value);
    expect([status, body]).toMatchObject([400, { error: { code: 'INVALID_ARGUMENT', param: null } }]);
  });

  it('keeps idle connections as long as configured, and none whose request never ends', async () => {
    const { headers } = await request(api.app.getHttpServer()).get('/info').set('Connection', 'keep-alive');
    expect(headers['keep-alive']).toBe('timeout=90');
    const http = api.app.getHttpServer();
    expect([http.headersTimeout, http.requestTimeout]).toEqual([60_000, 300_000]);
  });
});
