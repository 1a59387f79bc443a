import { createHash } from 'node:crypto';
import request from 'supertest';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';
import { RateLimitGuard } from './rate-limit.guard.js';

const keys = ['a', 'b'].map((key) => ({ name: `of-${key}`, sha256: createHash('sha256').update(key).digest('hex') }));

describe(RateLimitGuard.name, () => {
  let api: TestApi;
  afterEach(() => api.app.close());
  const start = async (...settings: string[]) => (api = await startTestApi('rateLimit.limit=2', ...settings));
  const post = (headers: Record<string, string> = {}, path = '/text-to-image') =>
    request(api.app.getHttpServer()).post(path).set(headers).send({ prompt: 'x' });

  it('says on every answer how much is left, and 429 with a time when nothing is', async () => {
    await start();
    const first = await post().expect(200);
    expect(first.headers).toMatchObject({ 'ratelimit-limit': '2', 'ratelimit-remaining': '1', 'ratelimit-reset': '60' });
    expect(first.headers['retry-after']).toBeUndefined();
    expect((await post().expect(200)).headers).toMatchObject({ 'ratelimit-remaining': '0' });
    const { body, headers } = await post({ 'X-Request-Id': 'mine' }).expect(429);
    expect(body).toEqual({
      error: {
        code: 'RATE_LIMITED',
        type: 'rate_limit_error',
        message: expect.stringMatching(/^more than 2 requests in 60 s; the next one is taken in (60|59) s$/),
        param: null,
        request_id: 'mine',
      },
    });
    expect(headers).toMatchObject({ 'ratelimit-limit': '2', 'ratelimit-remaining': '0' });
    expect(headers['retry-after']).toMatch(/^(60|59)$/);
    expect(headers['ratelimit-reset']).toBe(headers['retry-after']);
    expect(headers['x-should-retry']).toBeUndefined();
    expect(api.engine.requests).toHaveLength(2);
  });

  it('counts wrong requests too, over all generation routes together, and nothing else', async () => {
    await start();
    for (let i = 0; i < 5; i++) await request(api.app.getHttpServer()).get('/info').expect(200);
    await request(api.app.getHttpServer()).post('/text-to-image').type('json').send('{').expect(400);
    await post({}, '/image-to-image').expect(415);
    await post().expect(429);
    await post({}, '/nowhere').expect(404);
    const { headers } = await request(api.app.getHttpServer()).get('/info').expect(200);
    expect(headers['ratelimit-limit']).toBeUndefined();
  });

  it('counts by key, whatever the address, and not those that it does not know', async () => {
    await start(`auth.keys=${JSON.stringify(keys)}`, 'server.trustProxy=1');
    for (let i = 0; i < 3; i++) await post({ 'X-Forwarded-For': '9.9.9.9' }).expect(401);
    await post({ 'X-API-Key': 'a', 'X-Forwarded-For': '9.9.9.9' }).expect(200);
    await post({ Authorization: 'Bearer a', 'X-Forwarded-For': '8.8.8.8' }).expect(200);
    await post({ 'X-API-Key': 'a', 'X-Forwarded-For': '7.7.7.7' }).expect(429);
    await post({ 'X-API-Key': 'b', 'X-Forwarded-For': '9.9.9.9' }).expect(200);
  });

  it.each([
    ['server.trustProxy=0', '1.1.1.1', '2.2.2.2', 429],
    ['server.trustProxy=1', '1.1.1.1', '2.2.2.2', 200],
    // A client may write what it likes in front of what the proxy adds.
    ['server.trustProxy=1', '1.1.1.1, 9.9.9.9', '2.2.2.2, 9.9.9.9', 429],
    ['server.trustProxy=2', '1.1.1.1, 9.9.9.9', '2.2.2.2, 9.9.9.9', 200],
    ['server.trustProxy=["loopback"]', '1.1.1.1', '2.2.2.2', 200],
    ['server.trustProxy=["10.0.0.0/8"]', '1.1.1.1', '2.2.2.2', 429],
    ['server.trustProxy=1', '2001:db8:1:2::1', '2001:db8:1:2:ffff::9', 429],
    ['server.trustProxy=1', '2001:db8:1:2::1', '2001:db8:1:3::1', 200],
    ['server.trustProxy=1', '1.1.1.1:50001', '1.1.1.1:50002', 429],
    ['server.trustProxy=1', '[2001:db8:1:2::1]:50001', '[2001:db8:1:2::1]:50002', 429],
  ])('with %s answers %s, then %s with %i', async (setting, first, second, status) => {
    await start(setting);
    await post({ 'X-Forwarded-For': first }).expect(200);
    await post({ 'X-Forwarded-For': first }).expect(200);
    await post({ 'X-Forwarded-For': second }).expect(status);
  });

  it('can be switched off', async () => {
    await start('rateLimit.enabled=false');
    for (let i = 0; i < 3; i++) expect((await post().expect(200)).headers['ratelimit-limit']).toBeUndefined();
  });
});
