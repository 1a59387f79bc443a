import { answerOf, Client, errorOf, firstOf, fixture, picturesOf, small } from '../e2e/client.js';
import { Server } from '../e2e/server.js';

describe('a field that is taken', () => {
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const pixels = async (fields: object) => firstOf(await client.draw({ ...small, ...fields })).data;
  const allDiffer = (pictures: readonly Buffer[]) =>
    new Set(pictures.map((data) => data.toString('base64'))).size === pictures.length;

  it.each([
    [64, 128],
    [128, 64],
    [96, 96],
    [32, 32],
    [256, 48],
  ])('gives a picture of %ix%i when that was asked for', async (width, height) => {
    const answer = await answerOf(await client.postJson({ ...small, width, height }));
    expect(answer).toMatchObject({ images: [{ width, height }], parameters: { width, height } });
    expect(firstOf(await picturesOf(answer))).toMatchObject({ width, height });
    const response = await client.postJson({ ...small, width, height }, { accept: 'image/png' });
    const png = Buffer.from(await response.arrayBuffer());
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([width, height]);
  });

  it('changes the picture with the guidance', async () => {
    const scales = [1, 1.5, 4, 8, 20];
    const drawn = [];
    for (const true_cfg_scale of scales) drawn.push(await pixels({ true_cfg_scale }));
    expect(allDiffer(drawn)).toBe(true);
  });

  it('changes the picture with the negative prompt, where there is guidance', async () => {
    const negatives = [{}, { negative_prompt: 'a blue square' }, { negative_prompt: 'blurry' }];
    const draw = (true_cfg_scale: number) => Promise.all(negatives.map((negative) => pixels({ true_cfg_scale, ...negative })));
    expect(allDiffer(await draw(4))).toBe(true);
    const [without, ...others] = await draw(1);
    expect(others.map((other) => without && other.equals(without))).toEqual([true, true]);
  });

  it.each<[string, object[]]>([
    ['prompt', [{}, { prompt: 'a blue square' }, { prompt: 'a red circle.' }]],
    ['number of steps', [{}, { num_inference_steps: 5 }, { num_inference_steps: 8 }]],
    ['seed', [{}, { seed: 2 }]],
    ['limit of tokens', [{}, { max_sequence_length: 2 }]],
  ])('changes the picture with the %s', async (_name, changes) => {
    expect(allDiffer(await Promise.all(changes.map(pixels)))).toBe(true);
  });

  it('changes the picture with the strength, and the file with the quality', async () => {
    const redraw = async (strength: number) =>
      (await client.redraw({ prompt: 'a red circle', seed: 1, num_inference_steps: 8, strength }, fixture('quadrants.png'))).data;
    expect(allDiffer([await redraw(0.2), await redraw(0.5), await redraw(1)])).toBe(true);
    const size = async (output_quality: number) => {
      const response = await client.postJson({ ...small, output_quality }, { accept: 'image/jpeg' });
      return (await response.arrayBuffer()).byteLength;
    };
    expect(await size(10)).toBeLessThan(await size(95));
  });

  it('is not changed by fields that only say what comes by itself', async () => {
    const spelt = { negative_prompt: ' ', true_cfg_scale: 4, num_images: 1, max_sequence_length: 512, output_format: 'png' };
    expect((await pixels(spelt)).equals(await pixels({}))).toBe(true);
  });
});

describe('a field that is not taken', () => {
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(() => server.stop());

  it.each([
    ['guidance_scale', 4, 'true_cfg_scale'],
    ['cfg_scale', 4, 'true_cfg_scale'],
    ['steps', 4, 'num_inference_steps'],
    ['n', 2, 'num_images'],
    ['size', '64x128', 'width and height'],
    ['denoising_strength', 0.5, 'strength'],
    ['response_format', 'b64_json', 'Accept'],
  ])('%s is refused, with a word on what is meant', async (name, value, meant) => {
    for (const response of [
      await client.postJson({ ...small, [name]: value }),
      await client.postForm({ prompt: 'a red circle', [name]: value }, fixture('quadrants.png')),
    ]) {
      const error = await errorOf(response);
      expect(error).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT', param: name });
      expect(error.details).toEqual([{ field: name, message: expect.stringContaining(meant) }]);
    }
  });

  it.each([
    ['Prompt', 'x'],
    ['true_cfg_scale ', 4],
    ['seed\u200b', 1],
    ['toString', 1],
    ['__proto__', { seed: 5 }],
    ['prompt.text', 'x'],
    ['strength', 0.5],
  ])('%j is refused', async (name, value) => {
    const body = `{"prompt":"a red circle",${JSON.stringify(name)}:${JSON.stringify(value)}}`;
    expect(await errorOf(await client.postJson(body))).toMatchObject({
      status: 400,
      details: [{ field: name, message: expect.stringContaining('is not a field of this route') }],
    });
  });

  it.each(['', ' ', '\n'])('%j is shown in quotes', async (name) => {
    const details = [{ field: JSON.stringify(name), message: expect.stringContaining('is not a field of this route') as string }];
    expect(await errorOf(await client.postJson({ ...small, [name]: 1 }))).toMatchObject({ status: 400, details });
  });

  it('is shown by its beginning when its name has no end', async () => {
    expect(await errorOf(await client.postJson({ ...small, ['x'.repeat(10_000)]: 1 }))).toMatchObject({
      status: 400,
      details: [{ field: `${'x'.repeat(100)}…`, message: expect.stringContaining('is not a field of this route') }],
    });
  });

  it('is not the reason for an answer without an end when there are very many', async () => {
    const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`field${index}`, index]));
    expect(await errorOf(await client.postJson({ ...small, ...many }))).toMatchObject({
      status: 400,
      details: [{ field: 'body', message: 'must have at most 64 fields, got 50005' }],
    });
  });

  it.each([
    [{ width: 100, height: 64 }, { width: 'must be a multiple of 16, got 100' }],
    [{ width: 64.5, height: 64 }, { width: 'must be an integer from 32 to 4096, got 64.5' }],
    [{ width: 16, height: 64 }, { width: 'must be an integer from 32 to 4096, got 16' }],
    [{ width: 8192, height: 64 }, { width: 'must be an integer from 32 to 4096, got 8192' }],
    [{ width: '64', height: 64 }, { width: 'must be an integer from 32 to 4096, got "64"' }],
    [
      { width: -64, height: -64 },
      { width: expect.any(String), height: expect.any(String) },
    ],
    [{ width: 64 }, { height: 'must be given together with width' }],
    [{ true_cfg_scale: 0.99 }, { true_cfg_scale: 'must be a number from 1 to 20, got 0.99' }],
    [{ true_cfg_scale: 20.01 }, { true_cfg_scale: 'must be a number from 1 to 20, got 20.01' }],
    [{ num_inference_steps: 201 }, { num_inference_steps: 'must be an integer from 2 to 200, got 201' }],
    [{ output_quality: 90 }, { output_quality: expect.any(String) }],
  ])('a value out of range is refused and not brought into it: %j', async (changes, faults) => {
    const error = await errorOf(await client.postJson({ prompt: 'a red circle', ...changes }));
    expect(error.status).toBe(400);
    expect(Object.fromEntries((error.details ?? []).map(({ field, message }) => [field, message]))).toEqual(faults);
  });
});
