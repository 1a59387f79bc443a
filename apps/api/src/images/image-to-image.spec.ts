import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import request from 'supertest';
import { faultsOf, postNothing, startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';

const fixture = (name: string) => join(__dirname, '../../../../test/fixtures', name);

describe('POST /image-to-image', () => {
  let api: TestApi;
  beforeAll(async () => (api = await startTestApi('limits.maxUploadBytes=20000')));
  afterAll(() => api.app.close());

  const fields = { prompt: 'a red circle', seed: '1', num_inference_steps: '4' };
  const post = (given: Record<string, string> = {}, file: string | Buffer | null = fixture('quadrants.png')) => {
    const form = request(api.app.getHttpServer())
      .post('/image-to-image')
      .field({ ...fields, ...given });
    return file === null ? form : form.attach('image', file, 'picture');
  };

  it('draws from the picture, with its own size where none is asked for', async () => {
    const response = await post().expect(200);
    expect(response.body).toMatchObject({
      images: [{ width: 96, height: 96 }],
      parameters: { strength: 0.6, seed: 1, num_inference_steps: 4, width: 96, height: 96 },
    });
    expect(api.engine.requests.at(-1)?.image).toMatchObject({ width: 96, height: 96, channels: 3 });
  });

  it('rounds an odd size down and says what was used', async () => {
    const response = await post({}, fixture('odd-250x190.png')).expect(200);
    expect(response.body).toMatchObject({ images: [{ width: 240, height: 176 }], parameters: { width: 240, height: 176 } });
    const asked = await post({ width: '256', height: '192' }, fixture('odd-250x190.png')).expect(200);
    expect(asked.body).toMatchObject({ images: [{ width: 256, height: 192 }] });
  });

  it('takes the upright size of a photograph', async () => {
    const response = await post({ strength: '0.2' }, fixture('exif-orientation-6.jpg')).expect(200);
    expect(response.body).toMatchObject({ parameters: { width: 64, height: 96, strength: 0.2 } });
  });

  it.each([
    [{ seed: 'abc' }, 'seed', '"abc"'],
    [{ seed: '0x10' }, 'seed', '"0x10"'],
    [{ seed: '1e2' }, 'seed', '"1e2"'],
    [{ seed: '' }, 'seed', '""'],
    [{ seed: ' 1' }, 'seed', '" 1"'],
    [{ seed: '9007199254740993' }, 'seed', '"9007199254740993"'],
    [{ strength: '0' }, 'strength', '0'],
    [{ strength: '1.5' }, 'strength', '1.5'],
    [{ strength: 'NaN' }, 'strength', '"NaN"'],
    [{ strength: '5e0' }, 'strength', '5'],
    [{ strength: 'e1' }, 'strength', '"e1"'],
    [{ strength: '1e' }, 'strength', '"1e"'],
    [{ output_metadata: 'yes' }, 'output_metadata', '"yes"'],
    [{ output_format: 'PNG' }, 'output_format', '"PNG"'],
  ])('refuses the form value %j', async (given, field, shown) => {
    expect(faultsOf(await post(given))).toEqual({ [field]: expect.stringContaining(`, got ${shown}`) });
  });

  it('takes booleans and numbers in a form', async () => {
    const response = await post({ output_metadata: 'false', strength: '1', true_cfg_scale: '2.5' }).expect(200);
    expect(response.body).toMatchObject({ parameters: { output_metadata: false, strength: 1, true_cfg_scale: 2.5 } });
  });

  it.each([
    ['1e1', 10],
    ['2.5E+0', 2.5],
    ['150e-1', 15],
  ])('takes the number %s in a form, as in JSON', async (true_cfg_scale, value) => {
    const json = `{"prompt":"x","true_cfg_scale":${true_cfg_scale}}`;
    const asJson = await request(api.app.getHttpServer()).post('/text-to-image').type('json').send(json).expect(200);
    const asForm = await post({ true_cfg_scale }).expect(200);
    for (const { body } of [asJson, asForm]) expect(body).toMatchObject({ parameters: { true_cfg_scale: value } });
  });

  it('tells a missing file together with the other faults', async () => {
    const response = await post({ width: '100', steps: '4' }, null);
    expect(faultsOf(response)).toEqual({
      image: 'is required: a PNG, JPEG or WebP file',
      steps: 'is not a field of this route; did you mean num_inference_steps?',
      width: 'must be a multiple of 16, got 100',
      height: 'must be given together with width',
    });
  });

  it('refuses a field or a file that comes twice, and a file of another name', async () => {
    const twice = await post().field('prompt', 'a blue circle');
    expect(faultsOf(twice)).toEqual({ prompt: 'was sent more than once' });
    const files = await post().attach('image', fixture('quadrants.png'));
    expect(faultsOf(files)).toEqual({ image: 'must be one file, got 2' });
    const three = await post().attach('image', fixture('quadrants.png')).attach('image', fixture('quadrants.png'));
    expect(faultsOf(three)).toEqual({ image: 'must be one file, got more than 2' });
    const other = await post({}, null).attach('picture', fixture('quadrants.png'));
    expect(faultsOf(other)).toMatchObject({ picture: 'is not a file of this route; did you mean image?' });
  });

  it.each([
    ['an empty file', () => Buffer.alloc(0), 422, 'INVALID_IMAGE'],
    ['a truncated JPEG', () => readFileSync(fixture('truncated.jpg')), 422, 'INVALID_IMAGE'],
    ['a truncated PNG', () => readFileSync(fixture('truncated.png')), 422, 'INVALID_IMAGE'],
    ['a bomb', () => readFileSync(fixture('bomb-10000x10000.png')), 422, 'INVALID_IMAGE'],
    ['a script', () => Buffer.from('<script>alert(1)</script>'), 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['a file over the limit', () => Buffer.alloc(20_001), 413, 'PAYLOAD_TOO_LARGE'],
  ])('answers for %s', async (_name, bytes, status, code) => {
    const response = await post({}, bytes()).expect(status);
    expect(response.body).toMatchObject({ error: { code, param: 'image' } });
    if (status === 413) expect(response.text).toContain('20000 bytes');
  });

  it('tells wrong fields before a wrong file', async () => {
    expect(faultsOf(await post({ seed: 'x' }, Buffer.alloc(0)))).toHaveProperty('seed');
  });

  it('takes a request without a body for an empty form', async () => {
    const response = await postNothing(api, '/image-to-image', 'multipart/form-data; boundary=x');
    expect(faultsOf(response)).toEqual({ image: expect.any(String), prompt: 'is required' });
  });

  it('refuses JSON, and a form without a boundary', async () => {
    const server = api.app.getHttpServer();
    await request(server).post('/image-to-image').send({ prompt: 'x' }).expect(415);
    const broken = await request(server).post('/image-to-image').set('content-type', 'multipart/form-data').send('x').expect(400);
    expect(broken.body).toMatchObject({ error: { code: 'INVALID_ARGUMENT' } });
  });
});
