import { InferenceService } from '@app/inference';
import request from 'supertest';
import { startTestApi, type TestApi } from '../../../test/fixtures/test-api.js';
import { ApiModule } from './api.module.js';

describe(ApiModule.name, () => {
  let api: TestApi;
  beforeEach(async () => (api = await startTestApi()));
  afterEach(() => api.app.close());
  const server = () => request(api.app.getHttpServer());

  it('tells what is served, and no path of this machine', async () => {
    const response = await server().get('/info').expect(200);
    expect(response.body).toEqual({
      name: 'qwen-image-server',
      version: '1.2.3',
      model: { id: 'demo', class: 'QwenImagePipeline', dtype: 'float32', parameters: 8_430_000, sha256: 'ab'.repeat(32) },
      device: { type: 'cpu', name: 'a processor', threads: 2 },
      runtime: { node: process.versions.node, libtorch: '2.13.0', cuda: null },
      routes: ['/text-to-image', '/image-to-image'],
      defaults: { width: 256, height: 256, num_inference_steps: 20, true_cfg_scale: 4, negative_prompt: ' ' },
      limits: expect.objectContaining({ sizeMultiple: 16, minSteps: 2, minSide: 32, maxSide: 4096, maxImages: 4 }),
    });
    expect(response.text).not.toContain('/models');
  });

  it('has no info before a model was loaded', async () => {
    api.engine.become({ state: 'loading', model: null, retryAfterS: 5 });
    const response = await server().get('/info').expect(503);
    expect(response.headers['retry-after']).toBe('5');
  });

  it('is healthy, live, ready and started', async () => {
    await server()
      .get('/health')
      .expect(200, /"status":"ok"/);
    await server().get('/health/live').expect(200);
    await server().get('/health/ready').expect(200);
    await server().get('/health/startup').expect(200);
  });

  it('tells what is free on the disk of the jobs to the first who asks', async () => {
    const { body } = await server().get('/health').expect(200);
    expect(body).toMatchObject({ disk: { free: expect.any(Number) } });
  });

  it.each(['loading', 'restarting', 'failed'] as const)('is live, not healthy and not ready while %s', async (state) => {
    api.engine.become({ state, retryAfterS: 4, readySince: null });
    const health = await server().get('/health').expect(503);
    expect(health.body).toMatchObject({ status: state, engine: { state } });
    expect(health.headers['retry-after']).toBe('4');
    const ready = await server().get('/health/ready').expect(503);
    expect(ready.headers['retry-after']).toBe('4');
    await server().get('/health/live').expect(200);
  });

  it('is draining after the first signal', async () => {
    await api.app.get(InferenceService).drain(0);
    await server()
      .get('/health')
      .expect(503, /"status":"draining"/);
    const response = await server().post('/text-to-image').send({ prompt: 'x' }).expect(503);
    expect(response.body).toMatchObject({ error: { code: 'ENGINE_UNAVAILABLE', message: 'the server is stopping' } });
  });

  it('answers a wrong path in the one shape, with the request id', async () => {
    const response = await server().get('/inpaint').set('x-request-id', 'mine').expect(404);
    expect(response.body).toEqual({
      error: {
        code: 'NOT_FOUND',
        type: 'invalid_request_error',
        message: 'there is no GET /inpaint',
        param: null,
        request_id: 'mine',
      },
    });
    expect(response.headers).toMatchObject({ 'x-request-id': 'mine', 'x-should-retry': 'false' });
  });

  it.each([
    ['get', '/text-to-image', 'POST'],
    ['delete', '/health', 'GET, HEAD'],
    ['post', '/info', 'GET, HEAD'],
  ] as const)('answers 405 to %s %s', async (method, path, allow) => {
    const response = await server()[method](path).expect(405);
    expect(response.body).toMatchObject({ error: { code: 'METHOD_NOT_ALLOWED' } });
    expect(response.headers['allow']).toBe(allow);
  });

  it('serves its own description, with the bounds that hold here', async () => {
    const { body } = await server().get('/openapi.json').expect(200);
    expect(body).toMatchObject({ openapi: '3.1.0', info: { title: 'qwen-image-server', version: '1.2.3' } });
    expect(Object.keys((body as { paths: object }).paths).sort()).toEqual([
      '/admin/log-level',
      '/admin/model/load',
      '/admin/model/unload',
      '/health',
      '/health/live',
      '/health/ready',
      '/health/startup',
      '/image-to-image',
      '/info',
      '/jobs/{id}',
      '/jobs/{id}/events',
      '/jobs/{id}/images/{k}',
      '/metrics',
      '/text-to-image',
    ]);
    const { TextToImageDto, ImageToImageDto } = (body as { components: { schemas: Record<string, unknown> } }).components.schemas;
    expect(TextToImageDto).toMatchObject({
      required: ['prompt'],
      additionalProperties: false,
      properties: {
        prompt: { minLength: 1, maxLength: 32000 },
        width: { minimum: 32, maximum: 4096, multipleOf: 16, default: 256 },
        num_inference_steps: { minimum: 2, maximum: 200, default: 20 },
        seed: { maximum: Number.MAX_SAFE_INTEGER },
        timeout_ms: { minimum: 1, maximum: 600_000, default: 600_000 },
        previews: { minimum: 0, maximum: 3, default: 0 },
      },
    });
    expect(ImageToImageDto).toMatchObject({
      required: ['prompt', 'image'],
      additionalProperties: false,
      properties: { prompt: {}, image: { format: 'binary' }, strength: { exclusiveMinimum: 0, maximum: 1 } },
    });
    // Without a size the picture's own is taken, and a document that said otherwise would make clients send another.
    expect(ImageToImageDto).not.toHaveProperty('properties.width.default');
    // Swagger UI sends every default and example of a form: they must go together, and quality is refused with png.
    expect(ImageToImageDto).toMatchObject({
      properties: { output_format: { example: 'jpeg' }, output_quality: { example: 90 } },
    });
    expect(ImageToImageDto).not.toHaveProperty('properties.output_format.default');
    const responses = (body as { paths: Record<string, { post: { responses: object } }> }).paths['/text-to-image']?.post
      .responses;
    expect(Object.keys(responses ?? {}).sort()).toEqual(
      [
        '200',
        '202',
        '400',
        '401',
        '403',
        '405',
        '406',
        '409',
        '413',
        '415',
        '422',
        '429',
        '499',
        '500',
        '503',
        '504',
        '507',
      ].sort(),
    );
    await server()
      .get('/docs')
      .expect(200, /swagger/i);
  });

  it('describes the headers of errors', async () => {
    const { body } = await server().get('/openapi.json').expect(200);
    const { responses } = (body as { paths: Record<string, { post: { responses: Record<string, { headers: object }> } }> }).paths[
      '/text-to-image'
    ]!.post;
    const headers = (status: number) => Object.keys(responses[status]?.headers ?? {}).sort();
    expect(headers(400)).toEqual(['X-Request-Id', 'x-should-retry']);
    expect(headers(405)).toEqual(['Allow', 'X-Request-Id', 'x-should-retry']);
    expect(headers(401)).toEqual(['WWW-Authenticate', 'X-Request-Id', 'x-should-retry']);
    expect(headers(429)).toEqual([
      ...['Limit', 'Remaining', 'Reset'].map((name) => `RateLimit-${name}`),
      'Retry-After',
      'X-Request-Id',
    ]);
    expect(headers(503)).toEqual(['Retry-After', 'X-Request-Id', 'x-should-retry']);
  });

  it('serves no description when it is switched off', async () => {
    const closed = await startTestApi('docs.enabled=false');
    await request(closed.app.getHttpServer()).get('/openapi.json').expect(404);
    await request(closed.app.getHttpServer()).get('/docs').expect(404);
    await closed.app.close();
  });
});
