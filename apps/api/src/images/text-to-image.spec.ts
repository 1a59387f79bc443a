import { EngineError } from '@app/engine';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import request from 'supertest';
import { plainResult } from '../../../../test/fixtures/scripted-engine.js';
import { faultsOf, postNothing, startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';

const small = { prompt: 'a red circle', seed: 1, width: 64, height: 64, num_inference_steps: 4 };

describe('POST /text-to-image', () => {
  let api: TestApi;
  beforeAll(async () => (api = await startTestApi('queue.maxPending=1')));
  afterAll(() => api.app.close());

  const post = (body: object | string, headers: Record<string, string> = {}) =>
    request(api.app.getHttpServer())
      .post('/text-to-image')
      .set({ 'content-type': 'application/json', ...headers })
      .send(body);
  const faults = async (changes: object) => faultsOf(await post({ ...small, ...changes }));

  it('answers with JSON that holds the images and all that was used', async () => {
    const response = await post({ ...small, num_images: 2 }).expect(200);
    expect(response.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      created: expect.any(Number),
      model: 'demo',
      images: [
        { b64_json: expect.any(String), seed: 1, width: 64, height: 64, format: 'png' },
        { b64_json: expect.any(String), seed: 2, width: 64, height: 64, format: 'png' },
      ],
      parameters: {
        ...small,
        negative_prompt: ' ',
        true_cfg_scale: 4,
        num_images: 2,
        max_sequence_length: 512,
        output_format: 'png',
        output_metadata: true,
        vae_tiling: false,
        residency: 'resident',
      },
      warnings: [],
      timings: { queue_ms: expect.any(Number), encode_ms: 1, denoise_ms: 2, decode_ms: 3, total_ms: expect.any(Number) },
    });
    expect(response.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'x-seed': '1' });
    expect(Number(response.headers['content-length'])).toBe(Buffer.byteLength(response.text));
    expect(response.headers['etag']).toBeUndefined();
    expect(response.headers['x-powered-by']).toBeUndefined();
  });

  it('sends a file of many pieces whole', async () => {
    api.engine.answer = (_id, wanted) => {
      const result = plainResult(wanted);
      for (const { data } of result.images) data.forEach((_, i) => (data[i] = (i * i * 2654435761) >>> 13));
      return Promise.resolve(result);
    };
    const wanted = { ...small, width: 512, height: 512 };
    const json = await post(wanted).expect(200);
    const bytes = await post(wanted, { accept: 'image/png' }).expect(200);
    const [image] = (json.body as { images: { b64_json: string }[] }).images;
    expect(Buffer.from(image?.b64_json ?? '', 'base64').equals(bytes.body as Buffer)).toBe(true);
    expect((bytes.body as Buffer).length).toBeGreaterThan(3 * 65536);
  });

  it('fills in the defaults of the model and a random seed', async () => {
    const response = await post({ prompt: ' ' }).expect(200);
    expect(response.body).toMatchObject({ parameters: { width: 256, height: 256, num_inference_steps: 20, true_cfg_scale: 4 } });
    const { seed } = (response.body as { parameters: { seed: number } }).parameters;
    expect(Number.isSafeInteger(seed)).toBe(true);
    expect(response.headers['x-seed']).toBe(String(seed));
  });

  it.each([
    ['image/png', {}, 'image/png'],
    ['image/*', {}, 'image/png'],
    ['image/webp', {}, 'image/webp'],
    ['image/gif, image/jpeg;q=0.5', {}, 'image/jpeg'],
    ['image/png;q=0.1, image/webp', {}, 'image/webp'],
    ['image/*', { output_format: 'jpeg' }, 'image/jpeg'],
    ['application/json;q=0, image/png', {}, 'image/png'],
    ['application/json;q=0, */*', {}, 'image/png'],
    ['image/png;q=0, image/*', {}, 'image/jpeg'],
    ['image/*;q=0.5, image/webp', {}, 'image/webp'],
  ])('sends bytes for Accept: %s with %j', async (accept, changes, type) => {
    const response = await post({ ...small, ...changes }, { accept }).expect(200);
    expect(response.headers).toMatchObject({ 'content-type': type, 'x-seed': '1', 'x-job-id': expect.any(String) });
  });

  it.each(['*/*', '', 'application/json', 'image/png, */*;q=0.1', 'application/*'])(
    'sends JSON for Accept: %s',
    async (accept) => {
      const response = await post(small, { accept }).expect(200);
      expect(response.headers['content-type']).toContain('application/json');
    },
  );

  it.each([
    ['application/json, image/webp', 'webp'],
    ['image/jpeg;q=0.4, image/webp;q=0.5, application/json', 'webp'],
    ['*/*', 'png'],
    ['application/json', 'png'],
  ])('draws as Accept: %s says when the answer is JSON, too', async (accept, format) => {
    const response = await post(small, { accept }).expect(200);
    expect(response.body).toMatchObject({ images: [{ format }], parameters: { output_format: format } });
    const quality = await post({ ...small, output_quality: 50 }, { accept });
    expect(quality.status).toBe(format === 'png' ? 400 : 200);
  });

  it.each([
    ['text/html', {}],
    ['image/gif', {}],
    ['image/png', { output_format: 'webp' }],
    ['image/png;q=0, image/*', { output_format: 'png' }],
    ['*/*;q=0', {}],
  ])('answers 406 to Accept: %s with %j', async (accept, changes) => {
    const response = await post({ ...small, ...changes }, { accept }).expect(406);
    expect(response.body).toMatchObject({ error: { code: 'NOT_ACCEPTABLE', type: 'invalid_request_error' } });
  });

  it('tells of a cut prompt in the answer and in a header', async () => {
    const message = 'the prompt has 1180 tokens, the first 512 were used';
    api.engine.answer = (_id, wanted) =>
      Promise.resolve({ ...plainResult(wanted), warnings: [{ code: 'PROMPT_TRUNCATED', field: 'prompt', message }] });
    const response = await post(small).expect(200);
    expect(response.body).toMatchObject({ warnings: [{ code: 'PROMPT_TRUNCATED', field: 'prompt', message }] });
    expect(response.headers['x-warnings']).toBe('PROMPT_TRUNCATED');
    api.engine.answer = (_id, wanted) => Promise.resolve(plainResult(wanted));
  });

  it('tells all faults of a request together', async () => {
    const response = await post({ width: 1000, height: 24, num_inference_steps: '20', seed: -1, guidance_scale: 4, loras: [] });
    expect(faultsOf(response)).toEqual({
      guidance_scale: 'is not a field of this route; did you mean true_cfg_scale?',
      loras: 'is not built yet',
      prompt: 'is required',
      width: 'must be a multiple of 16, got 1000',
      height: 'must be an integer from 32 to 4096, got 24',
      num_inference_steps: 'must be an integer from 2 to 200, got "20"',
      seed: 'must be an integer from 0 to 9007199254740991, got -1',
    });
    expect(response.body).toMatchObject({
      error: { type: 'invalid_request_error', param: 'guidance_scale', request_id: response.headers['x-request-id'] },
    });
    expect(response.headers['x-should-retry']).toBe('false');
  });

  it.each([
    [{ prompt: '' }, 'prompt', 'must have 1 to 32000 characters, has 0'],
    [{ prompt: 'x'.repeat(32_001) }, 'prompt', 'must have 1 to 32000 characters, has 32001'],
    [{ prompt: 5 }, 'prompt', 'must be a string, got 5'],
    [{ prompt: null }, 'prompt', 'must be a string, got null'],
    [{ negative_prompt: ['a'] }, 'negative_prompt', 'must be a string, got a list'],
    [{ width: 4096, height: 4096 }, 'width', 'times height must be at most 4194304 pixels, got 4096x4096 = 16777216'],
    [{ height: undefined }, 'height', 'must be given together with width'],
    [{ width: undefined }, 'width', 'must be given together with height'],
    [{ num_inference_steps: 0 }, 'num_inference_steps', 'must be an integer from 2 to 200, got 0'],
    [{ num_inference_steps: 2.5 }, 'num_inference_steps', 'must be an integer from 2 to 200, got 2.5'],
    [{ num_inference_steps: 1 }, 'num_inference_steps', "must be at least 2: the model's scheduler (shift_terminal) cannot do 1"],
    [{ true_cfg_scale: 0.5 }, 'true_cfg_scale', 'must be a number from 1 to 20, got 0.5'],
    [{ true_cfg_scale: 'high' }, 'true_cfg_scale', 'must be a number from 1 to 20, got "high"'],
    [{ num_images: 5 }, 'num_images', 'must be an integer from 1 to 4, got 5'],
    [{ max_sequence_length: 1025 }, 'max_sequence_length', 'must be an integer from 1 to 1024, got 1025'],
    [{ output_format: 'gif' }, 'output_format', 'must be one of png, jpeg, webp, got "gif"'],
    [{ output_quality: 80 }, 'output_quality', 'is for jpeg and webp: png keeps every pixel'],
    [{ output_metadata: 'false' }, 'output_metadata', 'must be true or false, got "false"'],
    [{ strength: 0.5 }, 'strength', 'is not a field of this route'],
    [{ timeout_ms: 0 }, 'timeout_ms', 'must be an integer from 1 to 600000, got 0'],
    [{ timeout_ms: 600_001 }, 'timeout_ms', 'must be an integer from 1 to 600000, got 600001'],
    [{ timeout_ms: null }, 'timeout_ms', 'must be an integer from 1 to 600000, got null'],
    [{ timeout: 5 }, 'timeout', 'is not a field of this route; did you mean timeout_ms?'],
    [{ previews: 4 }, 'previews', 'must be an integer from 0 to 3, got 4'],
    [
      { previews: 1 },
      'previews',
      'must be 0 without Prefer: respond-async or an Idempotency-Key: they are events of a job that is not waited for',
    ],
    [{ layers: 2 }, 'layers', 'is not built yet'],
    [{ n: 2 }, 'n', 'is not a field of this route; did you mean num_images?'],
    [{ constructor: 1 }, 'constructor', 'is not a field of this route'],
    [{ '': 1 }, '""', 'is not a field of this route'],
    [{ ' ': 1 }, '" "', 'is not a field of this route'],
  ])('refuses %j', async (changes, field, message) => {
    expect(await faults(changes)).toEqual({ [field]: message });
  });

  it('refuses a size that is no multiple in both sides', async () => {
    const response = faultsOf(await post({ ...small, width: 200, height: 200 }));
    expect(response).toEqual({ width: 'must be a multiple of 16, got 200', height: 'must be a multiple of 16, got 200' });
  });

  it('refuses tokens that a prompt may not hold, of both prompts and with all other faults', async () => {
    const message = 'spells out <|image_pad|>, which stands for a picture that is not there';
    expect(await faults({ prompt: 'a <|image_pad|>', negative_prompt: '<|image_pad|>', seed: -1 })).toEqual({
      prompt: message,
      negative_prompt: message,
      seed: expect.any(String),
    });
  });

  it('refuses fields in the URL', async () => {
    const send = (query: string) => request(api.app.getHttpServer()).post(`/text-to-image${query}`).send(small);
    expect(faultsOf(await send('?seed=5&x=1'))).toEqual({ seed: 'came in the URL: fields belong in the body' });
    expect(faultsOf(await send(`?${'n'.repeat(5000)}`))).toHaveProperty(`${'n'.repeat(100)}…`);
    await send('?').expect(200);
  });

  it('takes previews with a key, whichever of its calls waits for the answer', async () => {
    const body = { ...small, previews: 1 };
    const async = await post(body, { 'idempotency-key': 'previews', prefer: 'respond-async' }).expect(202);
    const { id } = (await post(body, { 'idempotency-key': 'previews' }).expect(200)).body as { id: string };
    expect(id).toBe((async.body as { id: string }).id);
  });

  it('refuses __proto__ as a field', async () => {
    expect(faultsOf(await post('{"prompt":"x","__proto__":{"seed":1}}'))).toHaveProperty('__proto__');
  });

  it('tells of faults in fewer bytes than they came in', async () => {
    const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`f${index}`, 0]));
    const response = await post({ ...small, ...many });
    expect(faultsOf(response)).toEqual({ body: 'must have at most 64 fields, got 50005' });
    expect(await faults({ ['n'.repeat(500_000)]: 0 })).toEqual({ [`${'n'.repeat(100)}…`]: 'is not a field of this route' });
  });

  it('asks for one image when bytes are wanted', async () => {
    const response = await post({ ...small, num_images: 2 }, { accept: 'image/png' });
    expect(faultsOf(response)).toEqual({ num_images: expect.stringContaining('must be 1 when Accept asks for image bytes') });
  });

  it('takes output_quality where Accept chooses a format that has one', async () => {
    await post({ ...small, output_quality: 50 }, { accept: 'image/webp' }).expect(200);
    await post({ ...small, output_quality: 50, output_format: 'jpeg' }).expect(200);
  });

  it.each(['9007199254740992', '9007199254740993', '9007199254740990.6', '1e400'])(
    'refuses the seed %s without claiming another number',
    async (seed) => {
      const body = `{"prompt":"a red circle","seed":${seed}}`;
      expect(faultsOf(await post(body))).toEqual({ seed: 'must be an integer from 0 to 9007199254740991' });
    },
  );

  it('refuses a field that comes twice', async () => {
    expect(faultsOf(await post('{"prompt":"x","seed":1,"\\u0073eed":2}'))).toEqual({ seed: 'was sent more than once' });
  });

  it('takes the largest seed exactly, and leaves room for those of further images', async () => {
    const seed = Number.MAX_SAFE_INTEGER;
    const response = await post({ ...small, seed }).expect(200);
    expect(response.body).toMatchObject({ images: [{ seed }], parameters: { seed } });
    expect(response.headers['x-seed']).toBe('9007199254740991');
    expect(await faults({ seed, num_images: 2 })).toEqual({
      seed: 'must be an integer from 0 to 9007199254740990, got 9007199254740991',
    });
  });

  it.each(['{:', '', 'null', '[]', '"prompt"', '{"prompt":"\\ud83d alone"}', '{"prompt":"\\ude00\\ud83d"}'])(
    'answers 400 to the body %s',
    async (body) => {
      const response = await post(body).expect(400);
      expect(response.body).toMatchObject({ error: { code: 'INVALID_ARGUMENT' } });
    },
  );

  it.each(['application/json', 'text/plain'])('takes a request without a body for one without fields (%s)', async (type) => {
    const none = { body: 'must be a JSON object' };
    expect(faultsOf(await postNothing(api, '/text-to-image', type))).toEqual(none);
    expect(faultsOf(await post('', { 'content-type': type, 'content-length': '0' }))).toEqual(none);
  });

  it('names the field that the engine refuses', async () => {
    api.engine.answer = () => Promise.reject(new EngineError('INVALID_ARGUMENT', 'holds a token', { field: 'negative_prompt' }));
    const response = await post(small);
    expect(faultsOf(response)).toEqual({ negative_prompt: 'holds a token' });
    expect(response.body).toMatchObject({ error: { param: 'negative_prompt', message: 'negative_prompt: holds a token' } });
    api.engine.answer = (_id, wanted) => Promise.resolve(plainResult(wanted));
  });

  it('refuses bytes that are no UTF-8', async () => {
    const body = Buffer.concat([Buffer.from('{"prompt":"'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}')]);
    const response = await post(body.toString('latin1')).expect(200);
    expect(response.body).toMatchObject({ parameters: { prompt: expect.any(String) } });
    const raw = await rawPost(api, body);
    expect(raw).toMatchObject({ status: 400, body: expect.stringContaining('not valid UTF-8') });
  });

  it.each(['gzip', 'deflate', 'br'])('names Content-Encoding to a body that is no %s', async (coding) => {
    const message = expect.stringContaining(`the body is not the ${coding} that its Content-Encoding says: `) as string;
    const { body } = await post(small, { 'content-encoding': coding }).expect(400);
    expect(body).toMatchObject({ error: { code: 'INVALID_ARGUMENT', message } });
  });

  it.each(['utf-16', 'UTF-16LE', '"utf-16"', 'utf-7', 'utf8', 'latin1', 'nonsense'])(
    'refuses a body that says it is %s, whatever it is',
    async (charset) => {
      const { body } = await post(small, { 'content-type': `application/json; charset=${charset}` }).expect(415);
      const message = 'the charset of a JSON body must be utf-8';
      expect(body).toMatchObject({ error: { code: 'UNSUPPORTED_MEDIA_TYPE', message } });
    },
  );

  it.each(['utf-8', 'UTF-8', '"Utf-8"'])('takes a body that says it is %s', async (charset) => {
    await post(small, { 'content-type': `application/json; Charset=${charset}` }).expect(200);
  });

  it('takes NUL and other controls', async () => {
    await post({ ...small, prompt: 'a \u0000 b \u0007' }).expect(200);
  });

  it('refuses other types of body, and too large ones', async () => {
    const text = await post('a red circle', { 'content-type': 'text/plain' }).expect(415);
    expect(text.body).toMatchObject({ error: { code: 'UNSUPPORTED_MEDIA_TYPE' } });
    const large = await post({ ...small, prompt: 'x'.repeat(1024 * 1024) }).expect(413);
    expect(large.body).toMatchObject({ error: { code: 'PAYLOAD_TOO_LARGE', message: expect.stringContaining('1 MiB') } });
    expect(large.headers['x-should-retry']).toBe('false');
    await post(small).expect(200);
  });

  it('answers 503 with Retry-After while the engine restarts', async () => {
    api.engine.become({ state: 'restarting', retryAfterS: 3 });
    const response = await post(small).expect(503);
    expect(response.body).toMatchObject({ error: { code: 'ENGINE_UNAVAILABLE', type: 'server_error' } });
    expect(response.headers['retry-after']).toBe('3');
    expect(response.headers['x-should-retry']).toBeUndefined();
    api.engine.become({ state: 'ready', retryAfterS: 0 });
    await post(small).expect(200);
  });

  it.each([
    ['NUMERICAL_FAILURE', 500, 'false'],
    ['OUT_OF_MEMORY', 503, undefined],
    ['REQUEST_TOO_LARGE', 422, 'false'],
    ['INTERNAL', 500, undefined],
  ] as const)('answers %s with %i', async (code, status, shouldRetry) => {
    api.engine.answer = () => Promise.reject(new EngineError(code, '/secret/path'));
    const response = await post(small).expect(status);
    expect(response.body).toMatchObject({ error: { code } });
    expect(response.headers['x-should-retry']).toBe(shouldRetry);
    if (code === 'INTERNAL') expect(response.text).not.toContain('secret');
    api.engine.answer = (_id, wanted) => Promise.resolve(plainResult(wanted));
  });

  it('answers 429 with Retry-After when the line is full', async () => {
    const release: (() => void)[] = [];
    let begun = () => {};
    const running = new Promise<void>((resolve) => (begun = resolve));
    api.engine.answer = (_id, wanted) =>
      new Promise((resolve) => {
        release.push(() => resolve(plainResult(wanted)));
        begun();
      });
    const first = post(small).then((response) => response.status);
    await running;
    const second = post(small).then((response) => response.status);
    // The line is full once the second request waits in it.
    let refused = await post(small);
    while (refused.status !== 429) refused = await post(small);
    expect(refused.body).toMatchObject({ error: { code: 'QUEUE_FULL', type: 'rate_limit_error' } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);

    api.engine.answer = (_id, wanted) => Promise.resolve(plainResult(wanted));
    release.forEach((end) => end());
    expect(await Promise.all([first, second])).toEqual([200, 200]);
  });

  it('cancels the job of a client that goes away', async () => {
    const cancelled = new Promise<void>((resolve) => {
      api.engine.answer = (_id, _wanted, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => {
            reject(new EngineError('CANCELLED', 'between two steps'));
            resolve();
          });
          client.destroy();
        });
    });
    const { port } = api.app.getHttpServer().address() as AddressInfo;
    const headers = { 'content-type': 'application/json' };
    const client = httpRequest({ port, host: '127.0.0.1', path: '/text-to-image', method: 'POST', headers });
    client.on('error', () => {});
    client.end(JSON.stringify(small));
    await cancelled;
    api.engine.answer = (_id, wanted) => Promise.resolve(plainResult(wanted));
    await post(small).expect(200);
  });
});

describe('POST /text-to-image with limits below what the model would choose', () => {
  let api: TestApi;
  beforeAll(async () => (api = await startTestApi('limits.maxSide=128', 'limits.maxSteps=10')));
  afterAll(() => api.app.close());
  const post = (body: object) => request(api.app.getHttpServer()).post('/text-to-image').send(body);

  it('asks for the fields that the limits rule the defaults out of', async () => {
    expect(faultsOf(await post({ prompt: 'x' }))).toEqual({
      width: "and height are required: the model's own 256x256 is not within the limits",
      num_inference_steps: "is required: the model's own 20 is above the limit of 10",
    });
    await post(small).expect(200);
  });

  it('tells of no defaults there', async () => {
    const server = request(api.app.getHttpServer());
    const { body: info } = await server.get('/info').expect(200);
    expect(info).toMatchObject({ defaults: { width: null, height: null, num_inference_steps: null, true_cfg_scale: 4 } });
    const { body: document } = await server.get('/openapi.json').expect(200);
    const { TextToImageDto: drawn, ImageToImageDto: changed } = (document as { components: { schemas: Record<string, Schema> } })
      .components.schemas;
    expect(drawn?.required).toEqual(['prompt', 'width', 'height', 'num_inference_steps']);
    // A picture has a size of its own.
    expect(changed?.required).toEqual(['prompt', 'image', 'num_inference_steps']);
    for (const { properties } of [drawn!, changed!]) {
      for (const name of ['width', 'height', 'num_inference_steps']) {
        expect(properties[name]).not.toHaveProperty('default');
        expect(properties[name]).not.toHaveProperty('example');
      }
    }
  });
});

interface Schema {
  required: string[];
  properties: Record<string, object>;
}

/** A body as it is: supertest would encode it. */
function rawPost({ app }: TestApi, body: Buffer): Promise<{ status: number; body: string }> {
  const { port } = app.getHttpServer().address() as AddressInfo;
  return fetch(`http://127.0.0.1:${port}/text-to-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array(body),
  }).then(async (response) => ({ status: response.status, body: await response.text() }));
}
