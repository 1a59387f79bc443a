import { ServiceError } from '@app/inference';
import { createHash, randomUUID } from 'node:crypto';
import request from 'supertest';
import { startJobsApi, type JobsApi } from '../../../../test/fixtures/test-api.js';
import { jobOrder } from '../../../../test/fixtures/job-request.js';

const keys = ['alice', 'bob'].map((name) => ({ name, sha256: createHash('sha256').update(name).digest('hex') }));
const withKeys = `auth.keys=${JSON.stringify(keys)}`;
const noJob = { error: { code: 'NOT_FOUND', type: 'invalid_request_error', message: 'there is no such job' } };

describe('/jobs/:id', () => {
  let api: JobsApi;
  beforeAll(async () => (api = await startJobsApi()));
  afterAll(() => api.app.close());
  const server = () => request(api.app.getHttpServer());

  it('tells a waiting job', async () => {
    const job = api.inference.add();
    const { body, headers } = await server().get(`/jobs/${job.id}`).expect(200);
    expect(body).toEqual({
      id: job.id,
      kind: 'text-to-image',
      status: 'queued',
      created: 1764000000,
      started: null,
      finished: null,
      expires: null,
      attempt: 0,
      position: 1,
      eta_ms: 5400,
      progress: null,
      parameters: {
        prompt: 'a red circle',
        negative_prompt: ' ',
        width: 16,
        height: 16,
        num_inference_steps: 4,
        true_cfg_scale: 4,
        seed: 1,
        num_images: 1,
        max_sequence_length: 512,
        output_format: 'png',
        output_metadata: true,
      },
      warnings: [],
      images: [],
      timings: null,
      error: null,
      links: { self: `/jobs/${job.id}`, events: `/jobs/${job.id}/events` },
    });
    expect(headers['cache-control']).toBe('no-store');
  });

  it('tells a running job', async () => {
    const job = api.inference.add();
    job.start();
    job.progress(3);
    const { body } = await server().get(`/jobs/${job.id}`).expect(200);
    expect(body).toMatchObject({
      status: 'running',
      started: 1764000002,
      attempt: 1,
      position: null,
      progress: { stage: 'denoise', image: 0, step: 3, total: 20 },
    });
  });

  it('tells a completed job, and where its pictures are', async () => {
    const job = api.inference.add();
    job.start();
    job.complete(['one', 'two!']);
    const { body } = await server().get(`/jobs/${job.id}`).expect(200);
    expect(body).toMatchObject({
      status: 'completed',
      finished: 1764000005,
      expires: Math.floor((job.expiresAt ?? 0) / 1000),
      position: null,
      eta_ms: null,
      parameters: { vae_tiling: false, residency: 'resident' },
      warnings: [{ code: 'PROMPT_TRUNCATED', field: 'prompt', message: 'it was cut' }],
      images: [
        { url: `/jobs/${job.id}/images/0`, seed: 1, width: 16, height: 16, format: 'png', bytes: 3 },
        { url: `/jobs/${job.id}/images/1`, seed: 2, width: 16, height: 16, format: 'png', bytes: 4 },
      ],
      timings: { queue_ms: 1.3, encode_ms: 2, denoise_ms: 3, decode_ms: 4, total_ms: 10 },
      error: null,
    });
  });

  it('tells why a job failed, with the id of the request that brought it', async () => {
    const job = api.inference.add({ order: jobOrder({ requestId: 'brought-it' }) });
    const faults = [{ field: 'image', message: 'is truncated' }];
    job.fail(new ServiceError('INVALID_ARGUMENT', 'image is truncated', { faults }));
    const { body } = await server().get(`/jobs/${job.id}`).set('x-request-id', 'asks').expect(200);
    expect(body).toMatchObject({ status: 'failed', images: [], timings: null });
    expect((body as { error: unknown }).error).toEqual({
      code: 'INVALID_ARGUMENT',
      type: 'invalid_request_error',
      message: 'image is truncated',
      param: 'image',
      details: faults,
      request_id: 'brought-it',
    });
  });

  it('cancels, and changes nothing about a job that has ended', async () => {
    const job = api.inference.add();
    const { body } = await server().delete(`/jobs/${job.id}`).expect(200);
    expect(body).toMatchObject({ status: 'cancelled', error: { code: 'CANCELLED', type: 'server_error' } });
    expect((await server().delete(`/jobs/${job.id}`).expect(200)).body).toEqual(body);
    const done = api.inference.add();
    done.complete();
    await server()
      .delete(`/jobs/${done.id}`)
      .expect(200, /"status":"completed"/);
  });

  it.each([randomUUID(), 'x', '..%2f..%2fetc', '%00', randomUUID().toUpperCase(), '__proto__', `${randomUUID()}%20`])(
    'knows no job %s, on any route',
    async (id) => {
      for (const path of [`/jobs/${id}`, `/jobs/${id}/events`, `/jobs/${id}/images/0`]) {
        const { body } = await server().get(path).expect(404);
        expect(body).toMatchObject(noJob);
      }
      expect((await server().delete(`/jobs/${id}`).expect(404)).body).toMatchObject(noJob);
    },
  );

  it('answers 405 to other methods', async () => {
    const { id } = api.inference.add();
    await server().post(`/jobs/${id}`).expect(405).expect('allow', 'GET, HEAD, DELETE');
    await server().delete(`/jobs/${id}/images/0`).expect(405).expect('allow', 'GET, HEAD');
    await server().get('/jobs').expect(404);
  });

  it('answers HEAD', async () => {
    const { id } = api.inference.add();
    const { text, headers } = await server().head(`/jobs/${id}`).expect(200);
    expect([text, headers['content-type']]).toEqual([undefined, 'application/json; charset=utf-8']);
  });
});

describe('/jobs/:id/images/:k', () => {
  let api: JobsApi;
  beforeAll(async () => (api = await startJobsApi()));
  afterAll(() => api.app.close());
  const server = () => request(api.app.getHttpServer());
  const drawn = (format: 'png' | 'webp' = 'png', count = 2) => {
    const job = api.inference.add();
    Object.assign(job.record.request.output, { format });
    Object.assign(job.record.request.generate, { numImages: count });
    job.complete(['one', 'two!'].slice(0, count));
    return job;
  };

  it('gives the bytes, to be kept as long as the job is', async () => {
    const { id } = drawn('webp');
    const { body, headers } = await server().get(`/jobs/${id}/images/1`).expect(200);
    expect(String(body as Buffer)).toBe('two!');
    expect(headers).toMatchObject({
      'content-type': 'image/webp',
      'content-length': '4',
      'cache-control': 'private, max-age=3600, immutable',
      'cross-origin-resource-policy': 'same-origin',
    });
  });

  it('answers HEAD with the size and without the bytes', async () => {
    const { id } = drawn();
    const { headers, text } = await server().head(`/jobs/${id}/images/0`).expect(200);
    expect(headers).toMatchObject({ 'content-type': 'image/png', 'content-length': '3' });
    expect(text).toBeUndefined();
  });

  it('says that it is not ready, and when to come again', async () => {
    const { id } = api.inference.add();
    const { body, headers } = await server().get(`/jobs/${id}/images/0`).expect(409);
    expect(body).toMatchObject({ error: { code: 'NOT_READY', type: 'invalid_request_error' } });
    expect(headers['retry-after']).toBe('6');
    expect(headers['x-should-retry']).toBeUndefined();
    expect(headers['cache-control']).toBeUndefined();
  });

  it.each(['1', '00', '-1', '+0', '0x0', '1e0', '0.0', 'a', '99999999999999999999', '%20'])(
    'has no image %s, ready or not',
    async (k) => {
      for (const job of [drawn('png', 1), api.inference.add()]) {
        const { body } = await server().get(`/jobs/${job.id}/images/${k}`).expect(404);
        expect(body).toMatchObject({ error: { code: 'NOT_FOUND', message: 'the job has no such image' } });
      }
    },
  );

  it('has none of a job that did not complete', async () => {
    const failed = api.inference.add();
    failed.fail(new Error('secret'));
    const cancelled = api.inference.add();
    cancelled.cancel();
    for (const { id } of [failed, cancelled]) await server().get(`/jobs/${id}/images/0`).expect(404);
  });

  it('may be shown by pages of other origins when they may call the service', async () => {
    const shared = await startJobsApi('server.corsOrigins=["https://app.example.com"]');
    const job = shared.inference.add();
    job.complete();
    const { headers } = await request(shared.app.getHttpServer())
      .get(`/jobs/${job.id}/images/0`)
      .set('origin', 'https://app.example.com')
      .expect(200);
    expect(headers).toMatchObject({
      'cross-origin-resource-policy': 'cross-origin',
      'access-control-allow-origin': 'https://app.example.com',
    });
    for (const name of ['Location', 'Preference-Applied', 'X-Job-Id']) {
      expect(headers['access-control-expose-headers']?.split(',')).toContain(name);
    }
    const preflight = await request(shared.app.getHttpServer())
      .options('/text-to-image')
      .set('origin', 'https://app.example.com')
      .set('access-control-request-method', 'POST')
      .set('access-control-request-headers', 'prefer,idempotency-key');
    expect(preflight.headers['access-control-allow-headers']).toBe('prefer,idempotency-key');
    await shared.app.close();
  });
});

describe('jobs with API keys', () => {
  let api: JobsApi;
  beforeAll(async () => (api = await startJobsApi(withKeys)));
  afterAll(() => api.app.close());
  const server = () => request(api.app.getHttpServer());
  const ofAlice = (token = `token-of-${randomUUID()}`) => {
    const job = api.inference.add({ order: jobOrder({ owner: 'alice' }), token });
    job.complete();
    return job;
  };
  const reading = (id: string) => [`/jobs/${id}`, `/jobs/${id}/events`, `/jobs/${id}/images/0`];

  it('lets the key read and cancel that made it, and no other know of it', async () => {
    const { id } = ofAlice();
    for (const path of reading(id)) {
      await server().get(path).set('x-api-key', 'alice').expect(200);
      expect((await server().get(path).set('x-api-key', 'bob').expect(404)).body).toMatchObject(noJob);
      await server().get(path).expect(401);
      await server().get(path).set('x-api-key', 'mallory').expect(401);
    }
    await server().delete(`/jobs/${id}`).set('x-api-key', 'bob').expect(404);
    await server().delete(`/jobs/${id}`).set('x-api-key', 'alice').expect(200);
  });

  it('tells links that a browser can follow without headers, to this job only', async () => {
    const job = ofAlice('a+b/c=&d');
    const other = ofAlice();
    const { body } = await server().get(`/jobs/${job.id}`).set('x-api-key', 'alice').expect(200);
    const { links, images } = body as { links: { self: string; events: string }; images: { url: string }[] };
    for (const url of [links.self, links.events, images[0]?.url ?? '']) {
      expect(url).toMatch(/\?token=a%2Bb%2Fc%3D%26d$/);
      await server().get(url).expect(200);
      await server().head(url).expect(200);
      await server().get(url).set('x-api-key', 'bob').expect(200);
      await server().get(url.replace(job.id, other.id)).expect(404);
    }
  });

  it('does not let a token cancel', async () => {
    const { id, record } = ofAlice();
    await server().delete(`/jobs/${id}?token=${record.token}`).expect(401);
    await server().delete(`/jobs/${id}?token=${record.token}`).set('x-api-key', 'bob').expect(404);
  });

  it('does not let a token do anything else', async () => {
    const { record } = ofAlice();
    await server().get(`/info?token=${record.token}`).expect(401);
    await server().post(`/text-to-image?token=${record.token}`).send({ prompt: 'x' }).expect(401);
    await server().get(`/metrics?token=${record.token}`).expect(401);
  });

  it('answers 404 to a wrong token and to that of no job', async () => {
    const { id, record } = ofAlice();
    const { token } = record;
    for (const query of ['token=', 'token=x', `token=${token}x`, `token=${token}&token=${token}`, `token[]=${token}`]) {
      const expected = query.startsWith('token[]') ? 401 : 404;
      for (const path of reading(id)) await server().get(`${path}?${query}`).expect(expected);
    }
    for (const path of reading(randomUUID())) await server().get(`${path}?token=${token}`).expect(404);
    // An unknown key is told of, whatever came beside it.
    await server().get(`/jobs/${id}?token=${token}`).set('x-api-key', 'mallory').expect(401);
  });

  it('keeps jobs from before there were keys to their tokens', async () => {
    const job = api.inference.add({ token: 'of-nobody' });
    job.complete();
    for (const path of reading(job.id)) {
      await server().get(path).set('x-api-key', 'alice').expect(404);
      await server().get(`${path}?token=wrong`).expect(404);
      await server().get(`${path}?token=of-nobody`).expect(200);
    }
    await server().delete(`/jobs/${job.id}`).set('x-api-key', 'alice').expect(404);
  });

  it('keeps jobs of a key to themselves when the service is opened', async () => {
    const open = await startJobsApi();
    const job = open.inference.add({ order: jobOrder({ owner: 'alice' }), token: 'its-own' });
    const { body } = await request(open.app.getHttpServer()).get(`/jobs/${job.id}?token=its-own`).expect(200);
    expect(body).toMatchObject({ links: { self: `/jobs/${job.id}` } });
    await request(open.app.getHttpServer()).get(`/jobs/${job.id}`).expect(404);
    await request(open.app.getHttpServer()).delete(`/jobs/${job.id}`).expect(404);
    await open.app.close();
  });

  it('never lets a token out, into the log or by Referer', async () => {
    const { id, record } = ofAlice('never-to-be-seen');
    for (const path of [...reading(id), ...reading(randomUUID()), `/jobs/${id}/nothing`]) {
      const { headers, body } = await server().get(`${path}?token=${record.token}`);
      expect(headers['referrer-policy']).toBe('no-referrer');
      // A job tells its own links to whoever has read it by one.
      if (path !== `/jobs/${id}`) expect(JSON.stringify(body)).not.toContain(record.token);
    }
    expect(api.log()).toContain(`GET /jobs/${id}/images/0`);
    expect(api.log()).not.toContain(record.token);
  });

  it('is told in the OpenAPI document', async () => {
    const { body } = await server().get('/openapi.json').expect(200);
    type Operations = Record<
      string,
      { operationId: string; security: object[]; responses: Record<string, { headers?: object }> }
    >;
    const { paths } = body as { paths: Record<string, Operations> };
    const byKey = [{ bearer: [] }, { apiKey: [] }];
    const read = [...byKey, { jobToken: [] }];
    const told = (path: string, method: string) => {
      const operation = paths[path]?.[method];
      return [operation?.operationId, operation?.security];
    };
    expect(told('/jobs/{id}', 'get')).toEqual(['getJob', read]);
    expect(told('/jobs/{id}', 'delete')).toEqual(['cancelJob', byKey]);
    expect(told('/jobs/{id}/events', 'get')).toEqual(['streamJobEvents', read]);
    expect(told('/jobs/{id}/images/{k}', 'get')).toEqual(['getJobImage', read]);
    expect(body).toMatchObject({
      components: { securitySchemes: { jobToken: { type: 'apiKey', in: 'query', name: 'token' } } },
    });
    const statuses = (path: string, method = 'get') => Object.keys(paths[path]?.[method]?.responses ?? {});
    expect(statuses('/jobs/{id}').sort()).toEqual(['200', '400', '401', '403', '404', '405', '500']);
    expect(statuses('/jobs/{id}/events').sort()).toEqual(['200', '204', '400', '401', '403', '404', '405', '500']);
    expect(statuses('/jobs/{id}/images/{k}').sort()).toEqual(['200', '400', '401', '403', '404', '405', '409', '500']);
    const { responses } = paths['/text-to-image']!['post']!;
    expect(Object.keys(responses['202']?.headers ?? {}).sort()).toEqual([
      'Location',
      'Preference-Applied',
      'X-Job-Id',
      'X-Request-Id',
    ]);
    expect(Object.keys(responses['409']?.headers ?? {}).sort()).toEqual(['X-Request-Id', 'x-should-retry']);
    const notReady = paths['/jobs/{id}/images/{k}']?.['get']?.responses['409'];
    expect(Object.keys(notReady?.headers ?? {}).sort()).toEqual(['Retry-After', 'X-Request-Id']);
    const { parameters } = paths['/text-to-image']!['post'] as unknown as { parameters: { name: string; in: string }[] };
    expect(parameters.map(({ name, in: place }) => [place, name])).toEqual([
      ['header', 'Prefer'],
      ['header', 'Idempotency-Key'],
    ]);
  });
});
