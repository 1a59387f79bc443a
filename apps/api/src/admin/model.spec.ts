import { EngineError } from '@app/engine';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { faultsOf, postNothing, startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';

describe('/admin/model', () => {
  let root: string;
  let api: TestApi;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'qwen-models-'));
    for (const name of ['one', 'two']) mkdirSync(join(root, name));
    symlinkSync(join(root, 'one'), join(root, 'linked'));
    symlinkSync(join(root, 'none'), join(root, 'dangling'));
    writeFileSync(join(root, 'file'), '');
  });
  afterAll(() => rmSync(root, { recursive: true }));
  afterEach(() => api.app.close());
  const server = () => request(api.app.getHttpServer());
  const load = (body?: object) => (body ? server().post('/admin/model/load').send(body) : server().post('/admin/model/load'));

  it('loads a folder of model.root, and tells the state of it', async () => {
    api = await startTestApi(`model.root=${root}`);
    for (const name of ['one', 'two', 'linked', 'demo']) {
      api.engine.become({ state: 'ready' });
      const { body } = await load({ model: name }).expect(202);
      expect(body).toEqual({ id: name, state: 'loading', progress: null, error: null });
      expect(api.engine.status().choice.name).toBe(name);
    }
    expect(api.engine.status().choice.folder).toMatch(/models\/demo$/);
  });

  it('loads what was loaded last when nothing is said', async () => {
    api = await startTestApi(`model.root=${root}`);
    await load({ model: 'two' }).expect(202);
    await server().post('/admin/model/unload').expect(202);
    expect((await server().get('/health').expect(503)).body).toMatchObject({
      status: 'unloaded',
      model: { id: 'two', state: 'unloaded' },
    });
    await load().expect(202);
    expect(api.engine.status().choice).toEqual({ name: 'two', folder: join(root, 'two') });
    await load({}).expect(202);
  });

  it.each<[unknown, Record<string, unknown>]>([
    [{ model: 'three' }, { model: 'must be one of demo, linked, one, two, got "three"' }],
    [{ model: 'file' }, { model: expect.stringContaining('got "file"') }],
    [{ model: 'dangling' }, { model: expect.stringContaining('got "dangling"') }],
    [{ model: '../one' }, { model: expect.stringContaining('got "../one"') }],
    [{ model: '/etc' }, { model: expect.stringContaining('got "/etc"') }],
    [{ model: 'one/' }, { model: expect.stringContaining('got "one/"') }],
    [{ model: '' }, { model: 'must be the name of a model, got ""' }],
    [{ model: 'x'.repeat(300) }, { model: expect.stringMatching(/^must be the name of a model, got "x{40}…"$/) }],
    [{ model: null }, { model: 'must be the name of a model, got null' }],
    [{ path: 'one' }, { path: 'is not a field of this route: model' }],
    [[], { body: 'must be a JSON object with model' }],
  ])('refuses %j', async (body, faults) => {
    api = await startTestApi(`model.root=${root}`);
    expect(faultsOf(await load(body as object))).toEqual(faults);
    expect(api.engine.status()).toMatchObject({ state: 'ready', choice: { name: 'demo' } });
  });

  it('refuses a name that comes twice', async () => {
    api = await startTestApi(`model.root=${root}`);
    const answer = await server().post('/admin/model/load').type('json').send('{"model":"one","model":"two"}');
    expect(faultsOf(answer)).toEqual({ model: 'was sent more than once' });
    expect(api.engine.status()).toMatchObject({ state: 'ready', choice: { name: 'demo' } });
  });

  it.each<[unknown, Record<string, string>]>([
    [{ model: 'one' }, { model: 'is not a field of this route, which has none' }],
    [[], { body: 'must be an empty JSON object' }],
    [null, { body: 'must be an empty JSON object' }],
  ])('refuses to unload %j', async (body, faults) => {
    api = await startTestApi();
    const answer = await server().post('/admin/model/unload').type('json').send(JSON.stringify(body));
    expect(faultsOf(answer)).toEqual(faults);
    expect(api.engine.status().state).toBe('ready');
  });

  it.each(['load', 'unload'])('refuses to %s by a body that is no JSON', async (what) => {
    api = await startTestApi();
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', '']) {
      const { body } = await server().post(`/admin/model/${what}`).set('content-type', type).send('{}').expect(415);
      expect(body).toMatchObject({ error: { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'the body must be application/json' } });
    }
    expect(api.engine.status().state).toBe('ready');
  });

  it.each(['application/json', 'text/plain'])('needs no body, whatever type it would have (%s)', async (type) => {
    api = await startTestApi();
    expect(await postNothing(api, '/admin/model/unload', type)).toMatchObject({ status: 202 });
    await server().post('/admin/model/load').set({ 'content-type': type, 'content-length': '0' }).expect(202);
  });

  it('has only the first model without model.root', async () => {
    api = await startTestApi();
    await load({ model: 'demo' }).expect(202);
    expect(faultsOf(await load({ model: 'one' }))).toEqual({ model: 'must be one of demo, got "one"; model.root is not set' });
  });

  it('tells when model.root is there no more, without its path, and still has the first model', async () => {
    const gone = mkdtempSync(join(tmpdir(), 'qwen-gone-'));
    api = await startTestApi(`model.root=${gone}`);
    rmSync(gone, { recursive: true });
    const message = 'must be one of demo, got "one"; model.root cannot be read: ENOENT';
    expect(faultsOf(await load({ model: 'one' }))).toEqual({ model: message });
    await load({ model: 'demo' }).expect(202);
  });

  it('answers 503 while another change is going on', async () => {
    api = await startTestApi();
    api.engine.assertChangeable = () => {
      throw new EngineError('ENGINE_UNAVAILABLE', 'the model cannot be changed while the engine is loading');
    };
    const { body, headers } = await load().expect(503);
    expect(body).toMatchObject({
      error: { code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining('while the engine is loading') },
    });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    await server().post('/admin/model/unload').expect(503);
    expect(api.engine.status().state).toBe('ready');
  });

  it('lets requests that come meanwhile try again later', async () => {
    api = await startTestApi();
    await server().post('/admin/model/unload').expect(202);
    const { body, headers } = await server().post('/text-to-image').send({ prompt: 'x' }).expect(503);
    expect(body).toMatchObject({ error: { code: 'ENGINE_UNAVAILABLE', message: 'no model is loaded' } });
    expect(headers).toHaveProperty('retry-after');
    await server().get('/health/ready').expect(503);
    await server().get('/health/live').expect(200);
  });
});
