import { answerOf, Client, errorOf, firstOf, fixture, picturesOf, small } from './client.js';
import { meanDistance } from './equal-in-8-bits.js';
import { Server } from './server.js';

describe('POST /text-to-image', () => {
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** The server still draws, and draws what it drew before. */
  let asBefore: Buffer;
  beforeAll(async () => (asBefore = firstOf(await client.draw(small)).data));
  afterEach(async () => {
    expect(firstOf(await client.draw(small)).data.equals(asBefore)).toBe(true);
  });

  it.each(['image/png', 'image/jpeg', 'image/webp'])('gives the same bytes of %s for the same request', async (accept) => {
    const [a, b] = [await client.postJson(small, { accept }), await client.postJson(small, { accept })];
    expect([a.status, a.headers.get('content-type')]).toEqual([200, accept]);
    const [first, second] = [Buffer.from(await a.arrayBuffer()), Buffer.from(await b.arrayBuffer())];
    expect(first.equals(second)).toBe(true);
    expect(first.includes('trainedAlgorithmicMedia')).toBe(true);
    expect(first.includes('a red circle')).toBe(true);
  });

  it('draws another picture for another seed', async () => {
    expect(firstOf(await client.draw({ ...small, seed: 2 })).data.equals(asBefore)).toBe(false);
  });

  it('draws each of several images as it draws it alone', async () => {
    const answer = await answerOf(await client.postJson({ ...small, seed: 42, num_images: 4 }));
    expect(answer.images.map(({ seed }) => seed)).toEqual([42, 43, 44, 45]);
    const together = await picturesOf(answer);
    for (const [index, { data }] of together.entries()) {
      const alone = firstOf(await client.draw({ ...small, seed: 42 + index }));
      expect(alone.data.equals(data)).toBe(true);
    }
    expect(new Set(together.map(({ data }) => data.toString('base64'))).size).toBe(4);
  });

  it('heeds guidance, and the negative prompt only with it', async () => {
    const draw = async (fields: object) => firstOf(await client.draw({ ...small, ...fields })).data;
    const [one, four, eight] = [
      await draw({ true_cfg_scale: 1 }),
      await draw({ true_cfg_scale: 4 }),
      await draw({ true_cfg_scale: 8 }),
    ];
    expect(one.equals(four) || four.equals(eight) || one.equals(eight)).toBe(false);
    const negative = { negative_prompt: 'a blue square' };
    expect((await draw({ true_cfg_scale: 4, ...negative })).equals(four)).toBe(false);
    expect((await draw({ true_cfg_scale: 1, ...negative })).equals(one)).toBe(true);
  });

  it('draws the size that was asked for', async () => {
    for (const [width, height] of [
      [64, 128],
      [128, 64],
      [96, 96],
    ] as const) {
      const { images, parameters } = await answerOf(await client.postJson({ ...small, width, height }));
      expect(images).toMatchObject([{ width, height }]);
      expect(parameters).toMatchObject({ width, height });
    }
  });

  it('takes the largest seed and echoes it digit by digit', async () => {
    const response = await client.postJson({ ...small, seed: Number.MAX_SAFE_INTEGER });
    expect(await response.text()).toContain('"seed":9007199254740991');
  });

  it('cuts a long prompt by the rule of the model and says so; a longer limit lets its end count', async () => {
    const bodies = ['long-prompt-a.body', 'long-prompt-b.body'].map((name) => fixture(name).toString());
    const send = async (maxSequenceLength: number) =>
      Promise.all(
        bodies.map(async (body) => {
          const fields = { ...(JSON.parse(body) as object), ...small, prompt: (JSON.parse(body) as { prompt: string }).prompt };
          return answerOf(await client.postJson({ ...fields, max_sequence_length: maxSequenceLength }));
        }),
      );
    const [cutA, cutB] = await send(512);
    expect(cutA?.warnings).toMatchObject([{ code: 'PROMPT_TRUNCATED', field: 'prompt' }]);
    const [a, b] = await send(1024);
    expect([a?.warnings, b?.warnings]).toEqual([[], []]);
    const pixels = async (answer: typeof a) => (answer ? firstOf(await picturesOf(answer)).data : Buffer.alloc(0));
    expect((await pixels(cutA)).equals(await pixels(cutB))).toBe(true);
    expect((await pixels(a)).equals(await pixels(b))).toBe(false);
  });

  it('answers a prompt of 20,000 tokens, cut and said so', async () => {
    const { prompt } = JSON.parse(fixture('prompt-20000-digits.body').toString()) as { prompt: string };
    const response = await client.postJson({ ...small, prompt });
    expect(response.headers.get('x-warnings')).toBe('PROMPT_TRUNCATED');
    expect((await answerOf(response)).warnings).toMatchObject([{ code: 'PROMPT_TRUNCATED', field: 'prompt' }]);
  });

  it.each(['lone-surrogate', 'low-surrogate-first', 'invalid-utf8'])(
    'refuses the body %s and is none the worse for it',
    async (name) => {
      expect(await errorOf(await client.postJson(fixture(`${name}.body`)))).toMatchObject({
        status: 400,
        code: 'INVALID_ARGUMENT',
      });
    },
  );

  it('takes NUL in a prompt', async () => {
    expect((await client.postJson({ ...small, prompt: 'a red \u0000 circle' })).status).toBe(200);
  });

  it('refuses special tokens that stand for images', async () => {
    const response = await client.postJson({ ...small, prompt: 'a <|image_pad|> circle' });
    expect(await errorOf(response)).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  });

  it.each([
    ['malformed JSON', '{:', {}, 400],
    ['text', 'a red circle', { 'content-type': 'text/plain' }, 415],
    ['a body over the limit', JSON.stringify({ prompt: 'x'.repeat(1024 * 1024) }), {}, 413],
  ])('answers for %s', async (_name, body, headers, status) => {
    const response = await client.postJson(body, headers);
    expect(await errorOf(response)).toMatchObject({ status });
  });

  it('gives a JPEG and a WebP that are near the PNG', async () => {
    const png = firstOf(await client.draw(small));
    for (const output_format of ['jpeg', 'webp']) {
      const picture = firstOf(await client.draw({ ...small, output_format, output_quality: 95 }));
      expect(meanDistance(picture, png)).toBeLessThan(6);
    }
  });
});
