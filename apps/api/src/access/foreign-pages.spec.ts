import request from 'supertest';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';

const keys = `auth.keys=[{"name":"alice","sha256":"${'ab'.repeat(32)}"}]`;

describe('pages in a browser of this machine', () => {
  let api: TestApi;
  afterEach(() => api.app.close());
  const start = async (...settings: string[]) => (api = await startTestApi(...settings));
  const post = (headers: Record<string, string>) =>
    request(api.app.getHttpServer()).post('/text-to-image').set(headers).send({ prompt: 'x' });
  const get = (headers: Record<string, string>) => request(api.app.getHttpServer()).get('/info').set(headers);

  it.each(['localhost', 'localhost:3000', '127.0.0.1:8080', '[::1]:3000', 'LocalHost'])('may call it %s', async (host) => {
    await start();
    await get({ Host: host }).expect(200);
    await post({ Host: host, Origin: `http://${host.toLowerCase()}` }).expect(200);
  });

  it.each(['rebound.example', 'rebound.example:3000', '127.0.0.1.example', '192.168.1.9:3000'])(
    'may not call it %s',
    async (host) => {
      await start();
      for (const path of ['/info', '/health', '/openapi.json', '/docs']) {
        await request(api.app.getHttpServer()).get(path).set('Host', host).expect(403);
      }
      const { body, headers } = await get({ Host: host, 'X-Request-Id': 'mine' });
      expect(body).toEqual({
        error: {
          code: 'FORBIDDEN',
          type: 'permission_error',
          message: 'the Host of the request is not in server.allowedHosts',
          param: null,
          request_id: 'mine',
        },
      });
      expect(headers['x-should-retry']).toBe('false');
    },
  );

  it('may call it by a configured name', async () => {
    await start('server.allowedHosts=["Pictures.lan"]');
    await get({ Host: 'pictures.lan:3000' }).expect(200);
    await get({ Host: 'other.lan:3000' }).expect(403);
  });

  it.each(['https://evil.example', 'null', 'http://localhost:5173', 'http://localhost.evil.example'])(
    'of %s may read what is public and post nothing',
    async (origin) => {
      await start();
      await get({ Host: 'localhost:3000', Origin: origin }).expect(200);
      const { body } = await post({ Host: 'localhost:3000', Origin: origin }).expect(403);
      expect(body).toMatchObject({ error: { code: 'FORBIDDEN', message: expect.stringContaining('server.corsOrigins') } });
      expect(api.engine.requests).toEqual([]);
    },
  );

  it('of a configured origin may post and read the answer', async () => {
    await start('server.corsOrigins=["http://localhost:5173"]');
    const { headers } = await post({ Origin: 'http://localhost:5173' }).expect(200);
    expect(headers['access-control-allow-origin']).toBe('http://localhost:5173');
    expect(headers['access-control-expose-headers']).toMatch(/\bX-Seed\b/);
    const preflight = await request(api.app.getHttpServer())
      .options('/text-to-image')
      .set({ Origin: 'http://localhost:5173', 'Access-Control-Request-Method': 'POST' })
      .expect(204);
    expect(preflight.headers).toMatchObject({ 'access-control-allow-origin': 'http://localhost:5173' });
    await post({ Origin: 'https://evil.example' }).expect(403);
  });

  it('of several origins are told apart by caches, beside what the answers themselves depend on', async () => {
    await start('server.corsOrigins=["http://localhost:5173"]');
    const origin = { Origin: 'http://localhost:5173' };
    const server = request(api.app.getHttpServer());
    const form = server.post('/image-to-image').field('prompt', 'x').attach('image', 'test/fixtures/quadrants.png');
    expect((await post(origin).expect(200)).headers['vary']).toBe('Origin, Accept, Prefer');
    expect((await form.set(origin).expect(200)).headers['vary']).toBe('Origin, Accept, Prefer');
    expect((await server.get('/metrics').set(origin).expect(200)).headers['vary']).toBe('Origin, Accept');
    expect((await get(origin).expect(200)).headers['vary']).toBe('Origin');
  });

  it('of anywhere may post when every origin is configured', async () => {
    await start('server.corsOrigins=["*"]');
    const { headers } = await post({ Origin: 'https://any.example' }).expect(200);
    expect(headers['access-control-allow-origin']).toBe('*');
  });

  it('meet no CORS unless it is configured', async () => {
    await start();
    const { headers } = await get({ Origin: 'https://any.example' });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it.each([
    ['keys are configured', keys],
    ['the service listens for others', 'server.host=0.0.0.0'],
  ])('are not looked at when %s', async (_, setting) => {
    await start(setting);
    await request(api.app.getHttpServer()).get('/health').set('Host', 'pictures.example').expect(200);
  });
});
