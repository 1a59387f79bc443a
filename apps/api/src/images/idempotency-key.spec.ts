import { ServiceError } from '@app/inference';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import request from 'supertest';
import { faultsOf, startJobsApi, type JobsApi } from '../../../../test/fixtures/test-api.js';
import { fingerprint } from './idempotency-key.js';

const small = { prompt: 'a red circle', width: 64, height: 64 };
const keys = ['alice', 'bob'].map((name) => ({ name, sha256: createHash('sha256').update(name).digest('hex') }));

describe(fingerprint.name, () => {
  const file = (text: string, field = 'image') => ({ field, bytes: Buffer.from(text) });

  it('minds neither the order of keys nor what is absent', () => {
    const print = fingerprint('r', { a: 1, b: { c: [1, 2], d: 'x' } }, []);
    expect(fingerprint('r', { b: { d: 'x', c: [1, 2] }, e: undefined, a: 1 }, [])).toBe(print);
    expect(print).toMatch(/^[0-9a-f]{64}$/);
  });

  it('minds everything else', () => {
    const [one, two] = [file('1'), file('2')];
    const prints = [
      fingerprint('r', { a: 1 }, []),
      fingerprint('s', { a: 1 }, []),
      fingerprint('r', { a: 2 }, []),
      fingerprint('r', { a: '1' }, []),
      fingerprint('r', { b: 1 }, []),
      fingerprint('r', { a: [1, 2] }, []),
      fingerprint('r', { a: [2, 1] }, []),
      fingerprint('r', { a: { x: 1 } }, []),
      fingerprint('r', { a: [['x', 1]] }, []),
      fingerprint('r', { a: 1 }, [one]),
      fingerprint('r', { a: 1 }, [one, two]),
      fingerprint('r', { a: 1 }, [two, one]),
      fingerprint('r', { a: 1 }, [file('1', 'mask_image')]),
    ];
    expect(new Set(prints).size).toBe(prints.length);
  });
});

describe('Idempotency-Key', () => {
  let api: JobsApi;
  beforeEach(async () => (api = await startJobsApi()));
  afterEach(() => api.app.close());
  const post = (body: object | string, headers: Record<string, string> = {}) =>
    request(api.app.getHttpServer())
      .post('/text-to-image')
      .set({ 'content-type': 'application/json', 'idempotency-key': 'k', ...headers })
      .send(body);
  const draw = (key: string, name: string, picture: string, prompt = 'x') =>
    request(api.app.getHttpServer())
      .post('/image-to-image')
      .set('idempotency-key', key)
      .field('prompt', prompt)
      .attach('image', readFileSync(`test/fixtures/${picture}`), name);

  it('gives one job to the same request, however it is written', async () => {
    const first = await post('{"prompt":"a red circle","width":64,"height":64}').expect(200);
    const second = await post(' { "height" : 64.0, "width":6.4e1,\n"prompt":"a red \\u0063ircle" } ').expect(200);
    expect(api.inference.jobs).toHaveLength(1);
    expect(second.body).toEqual(first.body);
    for (const name of ['x-job-id', 'x-seed', 'x-warnings']) expect(second.headers[name]).toBe(first.headers[name]);
    // The seed was chosen once.
    expect(first.headers['x-seed']).toBe(String(api.inference.jobs[0]?.record.request.generate.seed));
  });

  it('is a conflict with another request', async () => {
    await post(small).expect(200);
    for (const changes of [{ seed: 1 }, { prompt: 'another' }, { num_images: 1 }, { output_format: 'png' }]) {
      const { body, headers } = await post({ ...small, ...changes }).expect(409);
      expect(body).toMatchObject({ error: { code: 'IDEMPOTENCY_CONFLICT', type: 'invalid_request_error' } });
      expect(headers).toMatchObject({ 'x-should-retry': 'false' });
      expect(headers['x-job-id']).toBeUndefined();
    }
    await draw('k', 'a.png', 'quadrants.png').expect(409);
    expect(api.inference.jobs).toHaveLength(1);
  });

  it('minds the bytes of a file and not its name', async () => {
    await draw('p', 'a.png', 'quadrants.png').expect(200);
    await draw('p', 'b.png', 'quadrants.png').expect(200);
    await draw('p', 'a.png', 'odd-250x190.png').expect(409);
    await draw('p', 'a.png', 'quadrants.png', 'y').expect(409);
    expect(api.inference.jobs).toHaveLength(1);
  });

  it('gives each call the one job in the form that it asks for', async () => {
    api.inference.onSubmit = () => undefined;
    const accepted = await post(small, { prefer: 'respond-async' }).expect(202);
    api.inference.jobs[0]?.complete();
    const bytes = await post(small, { accept: 'image/png' }).expect(200).expect('content-type', 'image/png');
    expect(String(bytes.body as Buffer)).toBe('a picture');
    const webp = await post(small, { accept: 'image/webp' }).expect(200).expect('content-type', 'image/webp');
    expect(String(webp.body as Buffer)).toBe('a picture as webp');
    expect(webp.headers['content-length']).toBe('17');
    const { body } = await post(small, { accept: 'application/json' }).expect(200);
    const { id } = accepted.body as { id: string };
    expect(body).toMatchObject({ id, images: [{ format: 'png' }] });
    const again = await post(small, { prefer: 'respond-async' }).expect(202);
    expect(again.body).toMatchObject({ id, status: 'completed', images: [{ url: `/jobs/${id}/images/0` }] });
    expect(api.inference.jobs).toHaveLength(1);
  });

  it('gives a job that has completed also while no model is there, and nothing else', async () => {
    const first = await post(small).expect(200);
    await draw('p', 'a.png', 'quadrants.png').expect(200);
    api.engine.become({ state: 'unloaded', model: null, stats: null });
    api.inference.unavailable = new ServiceError('ENGINE_UNAVAILABLE', 'no model is loaded', { retryAfterS: 30 });
    expect((await post(small).expect(200)).body).toEqual(first.body);
    await draw('p', 'a.png', 'quadrants.png').expect(200);
    await post({ ...small, seed: 1 }).expect(409);
    await post(small, { 'idempotency-key': 'of no job' }).expect(503);
    expect(api.inference.jobs).toHaveLength(2);
  });

  it('draws without loss when the fields name no format, and encodes as the call wants', async () => {
    const wanted = { ...small, output_quality: 40 };
    const { body } = await post(wanted, { accept: 'image/jpeg' }).expect(200).expect('content-type', 'image/jpeg');
    expect(String(body as Buffer)).toBe('a picture as jpeg');
    expect(api.inference.jobs[0]?.record.request.output).toMatchObject({ format: 'png' });
    expect(api.inference.converted).toEqual([{ index: 0, format: 'jpeg', quality: 40 }]);
    await post({ ...small, output_format: 'webp' }, { 'idempotency-key': 'other', accept: 'image/*' }).expect(200);
    expect(api.inference.jobs[1]?.record.request.output).toMatchObject({ format: 'webp' });
    expect(api.inference.converted).toHaveLength(1);
  });

  it('does not take a quality that a job for everybody could not have', async () => {
    const headers = { prefer: 'respond-async', accept: 'image/webp' };
    expect(faultsOf(await post({ ...small, output_quality: 50 }, headers))).toEqual({
      output_quality: 'is for jpeg and webp: png keeps every pixel',
    });
    await post(small, headers).expect(202, /"output_format":"png"/);
  });

  it('belongs to the API key that sent it', async () => {
    await api.app.close();
    api = await startJobsApi(`auth.keys=${JSON.stringify(keys)}`);
    const first = await post(small, { 'x-api-key': 'alice' }).expect(200);
    const second = await post({ ...small, seed: 5 }, { 'x-api-key': 'bob' }).expect(200);
    expect(second.headers['x-job-id']).not.toBe(first.headers['x-job-id']);
    await post({ ...small, seed: 5 }, { 'x-api-key': 'alice' }).expect(409);
    api.inference.unavailable = new ServiceError('ENGINE_UNAVAILABLE', 'restarting', { retryAfterS: 3 });
    await post(small, { 'x-api-key': 'alice' }).expect(200);
    await post(small, { 'x-api-key': 'alice', 'idempotency-key': 'new' }).expect(503);
  });

  it('finds its job while the engine is away, and nothing else does', async () => {
    await post(small).expect(200);
    api.inference.unavailable = new ServiceError('ENGINE_UNAVAILABLE', 'restarting', { retryAfterS: 3 });
    await post(small).expect(200);
    await post(small, { 'idempotency-key': 'new' }).expect(503).expect('retry-after', '3');
    await post(small, { 'idempotency-key': '' }).expect(503);
  });

  it.each(['a', ' inside is fine', 'x'.repeat(255), '~!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}'])('takes %j', async (key) => {
    await post(small, { 'idempotency-key': key }).expect(200);
    expect(api.inference.jobs[0]?.record.order.idempotency?.key).toBe(key.trim());
  });

  it.each([
    ['', 'must have 1 to 255 characters, has 0'],
    ['x'.repeat(256), 'must have 1 to 255 characters, has 256'],
    ['schlüssel', 'must hold nothing but printable ASCII characters'],
    ['a\tb', 'must hold nothing but printable ASCII characters'],
  ])('refuses %j together with what else is wrong', async (key, message) => {
    const response = await post({ prompt: '' }, { 'idempotency-key': key });
    expect(faultsOf(response)).toEqual({
      'Idempotency-Key': message,
      prompt: 'must have 1 to 32000 characters, has 0',
    });
    expect(response.body).toMatchObject({ error: { param: 'Idempotency-Key' } });
  });

  it('refuses two', async () => {
    const { port } = api.app.getHttpServer().address() as AddressInfo;
    const headers = { 'content-type': 'application/json', 'idempotency-key': ['a', 'b'] };
    const client = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/text-to-image', headers });
    const answer = new Promise<unknown>((resolve) => client.once('response', (response) => resolve(json(response))));
    client.end(JSON.stringify(small));
    expect(await answer).toMatchObject({
      error: { details: [{ field: 'Idempotency-Key', message: 'was sent more than once' }] },
    });
  });
});
