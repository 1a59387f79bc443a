import { ServiceError } from '@app/inference';
import { createHash } from 'node:crypto';
import request from 'supertest';
import { faultsOf, startJobsApi, type JobsApi } from '../../../../test/fixtures/test-api.js';

const small = { prompt: 'a red circle', seed: 7, width: 64, height: 64, num_inference_steps: 4 };
const keys = [{ name: 'alice', sha256: createHash('sha256').update('open-sesame').digest('hex') }];

describe('Prefer: respond-async', () => {
  let api: JobsApi;
  afterEach(() => api.app.close());
  const start = async (...settings: string[]) => {
    api = await startJobsApi(...settings);
    api.inference.onSubmit = () => undefined;
  };
  const post = (body: object, headers: Record<string, string> = {}) =>
    request(api.app.getHttpServer())
      .post('/text-to-image')
      .set({ prefer: 'respond-async', ...headers })
      .send(body);
  const only = () => api.inference.jobs[0]!;

  it('answers 202 with the job, at once', async () => {
    await start();
    const { body, headers } = await post({ ...small, previews: 2, timeout_ms: 5000 }, { 'x-request-id': 'mine' }).expect(202);
    const { id } = only();
    expect(headers).toMatchObject({
      location: `/jobs/${id}`,
      'preference-applied': 'respond-async',
      'x-job-id': id,
      'x-request-id': 'mine',
      'content-type': 'application/json; charset=utf-8',
      vary: 'Accept, Prefer',
    });
    expect(headers['x-seed']).toBeUndefined();
    expect(body).toMatchObject({ id, status: 'queued', position: 1, images: [], links: { self: `/jobs/${id}` } });
    expect(only().record.order).toEqual({
      owner: null,
      client: 'address:127.0.0.1',
      async: true,
      idempotency: null,
      timeoutMs: 5000,
      previews: 2,
      requestId: 'mine',
      traceparent: null,
    });
    // Nobody waits on the connection.
    expect(only().waiting).toEqual([]);
  });

  it('waits without it, for the time that the server allows', async () => {
    await start('queue.timeoutMs=9000');
    api.inference.onSubmit = (job) => job.complete();
    const { headers } = await post(small, { prefer: 'return=minimal' }).expect(200);
    expect(headers).toMatchObject({ 'x-job-id': only().id, 'x-seed': '7', 'x-warnings': 'PROMPT_TRUNCATED' });
    expect(headers['preference-applied']).toBeUndefined();
    expect(only().record.order).toMatchObject({ async: false, timeoutMs: 9000, previews: 0 });
    expect(faultsOf(await post({ ...small, timeout_ms: 9001 }))).toEqual({
      timeout_ms: 'must be an integer from 1 to 9000, got 9001',
    });
  });

  it('works for pictures too, and keeps their file', async () => {
    await start();
    const { body } = await request(api.app.getHttpServer())
      .post('/image-to-image')
      .set('prefer', 'respond-async')
      .field('prompt', 'x')
      .field('previews', '1')
      .attach('image', 'test/fixtures/quadrants.png')
      .expect(202);
    expect(body).toMatchObject({ kind: 'image-to-image', parameters: { strength: 0.6 } });
    expect(only().record.order.previews).toBe(1);
    expect(only().record.request.inputs).toEqual(['image']);
    expect(only().files.map(({ field, bytes }) => [field, bytes.length])).toEqual([['image', expect.any(Number)]]);
  });

  it('is answered in JSON, whatever image types Accept has, and draws the first of them', async () => {
    await start();
    for (const [accept, sent, drawn] of [
      ['image/webp', {}, 'webp'],
      ['image/*', {}, 'png'],
      ['application/json, image/jpeg', {}, 'jpeg'],
      ['*/*', {}, 'png'],
      ['image/png', { output_format: 'webp' }, 'webp'],
      ['image/webp', { num_images: 3, output_quality: 50 }, 'webp'],
    ] as const) {
      const { body, headers } = await post({ ...small, ...sent }, { accept }).expect(202);
      expect(headers['content-type']).toContain('application/json');
      expect(body).toMatchObject({ parameters: { output_format: drawn } });
    }
  });

  it('still needs an Accept that allows something', async () => {
    await start();
    const { body } = await post(small, { accept: 'text/html' }).expect(406);
    expect(body).toMatchObject({ error: { code: 'NOT_ACCEPTABLE' } });
    expect(api.inference.jobs).toEqual([]);
  });

  it('puts the job below the public URL, with its token where there are keys', async () => {
    await start('server.publicUrl=https://images.example.com/v2/', `auth.keys=${JSON.stringify(keys)}`);
    const { body, headers } = await post(small, { 'x-api-key': 'open-sesame' }).expect(202);
    const { id, record } = only();
    const self = `https://images.example.com/v2/jobs/${id}?token=${record.token}`;
    const events = `https://images.example.com/v2/jobs/${id}/events?token=${record.token}`;
    expect(headers['location']).toBe(self);
    expect(body).toMatchObject({ links: { self, events } });
    expect(record.order).toMatchObject({ owner: 'alice', client: 'key:alice' });
  });

  it('spells a public URL that is not ASCII as a header can have it', async () => {
    await start('server.publicUrl=https://例え.jp/Bücher');
    const { body, headers } = await post(small).expect(202);
    const self = `https://xn--r8jz45g.jp/B%C3%BCcher/jobs/${only().id}`;
    expect(headers['location']).toBe(self);
    expect(body).toMatchObject({ links: { self } });
  });

  it('queues an IPv6 client by its network', async () => {
    await start('server.trustProxy=1');
    await post(small, { 'x-forwarded-for': '2001:db8:1:2::9' }).expect(202);
    expect(only().record.order.client).toBe('address:2001:db8:1:2::/64');
  });

  it('refuses without a job id, and counts the refusal', async () => {
    await start();
    api.inference.refusal = new ServiceError('STORAGE_FULL', 'no room');
    const { body, headers } = await post(small).expect(507);
    expect(body).toMatchObject({ error: { code: 'STORAGE_FULL', type: 'server_error' } });
    for (const name of ['x-job-id', 'location', 'x-should-retry']) expect(headers[name]).toBeUndefined();
    const { text } = await request(api.app.getHttpServer()).get('/metrics');
    expect(text).toContain('requests_rejected_total{reason="STORAGE_FULL"} 1');
  });

  it('tells a job that was waited for and failed by its id', async () => {
    await start();
    api.inference.onSubmit = (job) => job.fail(new ServiceError('DEADLINE_EXCEEDED', 'not done within 5 ms'));
    const { body, headers } = await post({ ...small, timeout_ms: 5 }, { prefer: '' }).expect(504);
    expect(body).toMatchObject({ error: { code: 'DEADLINE_EXCEEDED', type: 'server_error' } });
    expect(headers).toMatchObject({ 'x-job-id': only().id, 'x-should-retry': 'false' });
    const { text } = await request(api.app.getHttpServer()).get('/metrics');
    expect(text).not.toContain('requests_rejected_total{');
  });
});
