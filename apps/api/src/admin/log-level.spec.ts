import { createHash } from 'node:crypto';
import request from 'supertest';
import { faultsOf, startJobsApi, type JobsApi } from '../../../../test/fixtures/test-api.js';

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex');

describe('/admin/log-level', () => {
  let api: JobsApi;
  afterEach(() => api.app.close());
  const server = () => request(api.app.getHttpServer());

  it('tells and changes which records are written', async () => {
    api = await startJobsApi();
    expect((await server().get('/admin/log-level').expect(200)).body).toEqual({ level: 'info' });
    await server().get('/health/live').set('x-request-id', 'told');
    expect((await server().put('/admin/log-level').send({ level: 'error' }).expect(200)).body).toEqual({ level: 'error' });
    await server().get('/health/live').set('x-request-id', 'untold');
    expect((await server().get('/admin/log-level').expect(200)).body).toEqual({ level: 'error' });
    await server().put('/admin/log-level').send({ level: 'info' }).expect(200);
    await server().get('/health/live').set('x-request-id', 'told-again');
    expect(api.log()).toMatch(/told/);
    expect(api.log()).toContain('the level of the log was error and is info');
    expect(api.log()).toContain('"told-again"');
    expect(api.log()).not.toContain('"untold"');
  });

  it('leaves one record of each change, whichever way it goes', async () => {
    api = await startJobsApi();
    const steps = ['error', 'debug', 'warn', 'error', 'error', 'info'];
    for (const level of steps) await server().put('/admin/log-level').send({ level }).expect(200);
    expect(api.log().match(/the level of the log was \w+ and is \w+/g)).toEqual(
      ['info and is error', 'error and is debug', 'debug and is warn', 'warn and is error', 'error and is info'].map(
        (change) => `the level of the log was ${change}`,
      ),
    );
  });

  it.each<[unknown, Record<string, string>]>([
    [{}, { level: 'is required' }],
    [{ level: 'trace' }, { level: 'must be error | warn | info | debug, got "trace"' }],
    [{ level: ['info'] }, { level: 'must be error | warn | info | debug, got a list' }],
    [{ level: 1 }, { level: 'must be error | warn | info | debug, got 1' }],
    [{ level: 'info', lvl: 1 }, { lvl: 'is not a field of this route: level' }],
    [[], { body: 'must be a JSON object with level' }],
    ['info', { body: 'must be a JSON object with level' }],
  ])('refuses %j', async (body, faults) => {
    api = await startJobsApi();
    const answer = await server().put('/admin/log-level').type('json').send(JSON.stringify(body));
    expect(faultsOf(answer)).toEqual(faults);
    expect((await server().get('/admin/log-level')).body).toEqual({ level: 'info' });
  });

  it('refuses a key that comes twice, as the generation routes do', async () => {
    api = await startJobsApi();
    const answer = await server().put('/admin/log-level').type('json').send('{"level":"debug","l\\u0065vel":"warn"}');
    expect(faultsOf(answer)).toEqual({ level: 'was sent more than once' });
    expect((await server().get('/admin/log-level')).body).toEqual({ level: 'info' });
  });

  it('shows a name that would not be seen', async () => {
    api = await startJobsApi();
    const answer = await server().put('/admin/log-level').send({ level: 'debug', '': 1, '\n': 2 });
    expect(faultsOf(answer)).toEqual({
      '""': 'is not a field of this route: level',
      '"\\n"': 'is not a field of this route: level',
    });
  });

  it('refuses what is nested so deeply that it cannot be shown', async () => {
    api = await startJobsApi();
    const deep = `{"level":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
    const answer = await server().put('/admin/log-level').type('json').send(deep);
    expect(faultsOf(answer)).toEqual({ level: 'must be error | warn | info | debug, got a list' });
  });

  it('refuses a body that is none', async () => {
    api = await startJobsApi();
    expect((await server().put('/admin/log-level')).status).toBe(400);
    expect((await server().put('/admin/log-level').type('json').send('{')).status).toBe(400);
    expect((await server().post('/admin/log-level')).status).toBe(405);
  });

  it('refuses a body of another type as such', async () => {
    api = await startJobsApi();
    const { body } = await server().put('/admin/log-level').type('form').send('level=debug').expect(415);
    expect(body).toMatchObject({ error: { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'the body must be application/json' } });
    expect((await server().get('/admin/log-level')).body).toEqual({ level: 'info' });
  });

  it('needs the scope admin, and with keys no less on loopback', async () => {
    const keys = [
      { name: 'user', sha256: hashOf('user') },
      { name: 'boss', sha256: hashOf('boss'), scopes: ['admin'] },
    ];
    api = await startJobsApi(`auth.keys=${JSON.stringify(keys)}`);
    await server().get('/admin/log-level').expect(401);
    await server().get('/admin/log-level').set('x-api-key', 'user').expect(403);
    await server().get('/admin/log-level').set('x-api-key', 'boss').expect(200);
  });

  it('is closed without keys on a server that other machines reach', async () => {
    api = await startJobsApi('server.host=0.0.0.0');
    const { body } = await server().get('/admin/log-level').expect(403);
    expect(body).toMatchObject({ error: { code: 'FORBIDDEN', message: expect.stringContaining('auth.keys') } });
    await server().get('/health').expect(200);
  });
});
