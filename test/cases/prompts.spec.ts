import { answerOf, Client, errorOf, firstOf, fixture, picturesOf, small, type ImageAnswer } from '../e2e/client.js';
import { Server } from '../e2e/server.js';
import { field, file, formOf, formType } from '../fixtures/forms.js';

describe('a prompt', () => {
  let server: Server;
  let client: Client;
  let asBefore: Buffer;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
    asBefore = firstOf(await client.draw(small)).data;
  });
  afterEach(async () => {
    expect(firstOf(await client.draw(small)).data.equals(asBefore)).toBe(true);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const pixels = async (answer: ImageAnswer) => firstOf(await picturesOf(answer)).data;
  const ask = async (fields: object) => answerOf(await client.postJson({ ...small, ...fields }));
  const promptOf = (name: string) => (JSON.parse(fixture(name).toString()) as { prompt: string }).prompt;
  const cutWarning = (name: string) => ({ code: 'PROMPT_TRUNCATED', field: name, message: expect.stringMatching(/\d+ tokens/) });

  it.each(['lone-surrogate.body', 'low-surrogate-first.body', 'invalid-utf8.body'])(
    'that is no text is refused: %s',
    async (name) => {
      expect(await errorOf(await client.postJson(fixture(name)))).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
    },
  );

  it.each(['prompt', 'negative_prompt'])('with half of a surrogate pair is refused as a %s', async (name) => {
    for (const half of ['\\ud83d', '\\ude00', '\\udc00\\ud800', 'a \\ud83d b', '\\ud83d\\ud83d\\ude00', '\\ude00\\ud83d']) {
      const body = JSON.stringify({ ...small, [name]: '#' }).replace('#', half);
      expect(await errorOf(await client.postJson(body))).toMatchObject({
        status: 400,
        param: name,
        details: [{ field: name, message: 'must be well-formed Unicode: it holds half of a surrogate pair' }],
      });
    }
  });

  it.each<[string, number[]]>([
    ['a byte that begins nothing', [0xff]],
    ['a character without its end', [0xc3]],
    ['a surrogate as bytes', [0xed, 0xa0, 0xbd]],
    ['a slash in too many bytes', [0xc0, 0xaf]],
    ['a character beyond the last', [0xf5, 0x80, 0x80, 0x80]],
  ])('with %s is refused as JSON and as a form', async (_name, bytes) => {
    const bad = Buffer.concat([Buffer.from('a red '), Buffer.from(bytes), Buffer.from(' circle')]);
    const json = Buffer.concat([Buffer.from('{"prompt":"'), bad, Buffer.from('"}')]);
    expect(await errorOf(await client.postJson(json))).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
    const form = formOf([file('image', fixture('quadrants.png')), field('prompt', bad)]);
    const response = await fetch(`${server.url}/image-to-image`, {
      method: 'POST',
      headers: { 'content-type': formType },
      body: new Uint8Array(form),
    });
    expect(await errorOf(response)).toMatchObject({ status: 400, param: 'prompt' });
  });

  it.each([
    ['NUL', 'a red \u0000 circle'],
    ['NUL alone', '\u0000'],
    ['controls', '\u0001\u0007\u001b[31m\u007f\u0085'],
    ['U+FFFD', 'a \ufffd circle'],
    ['U+FFFF', 'a \uffff circle'],
    ['a byte order mark', '\ufeffa red circle'],
    ['a text that runs backwards', '\u202eelcric der a'],
    ['an emoji of four people', '👨‍👩‍👧‍👦'],
    ['marks on marks', 'a\u0301\u0301\u0301\u0301'.repeat(20)],
    ['characters beyond the first plane', '𝒜 𠀀 🟥'],
    ['every line break', 'a\r\nb\nc\rd\u2028e\u2029f'],
    ['a single space', ' '],
    ['quotes and braces', '"\'{}[]<>&\\/`$(x)%s%n{0}'],
    ['Chinese', '一个红色的圆圈'],
    ['a tab', '\t'],
  ])('of %s is drawn, as JSON and as a form, and echoed as it was', async (_name, prompt) => {
    const answer = await ask({ prompt, output_format: 'jpeg' });
    expect(answer).toMatchObject({ parameters: { prompt }, warnings: [] });
    if (prompt.includes('\ufffd')) return; // a form cannot tell it from bytes that are no text
    const body = formOf([file('image', fixture('quadrants.png')), field('prompt', prompt), field('num_inference_steps', '4')]);
    const response = await fetch(`${server.url}/image-to-image`, {
      method: 'POST',
      headers: { 'content-type': formType },
      body: new Uint8Array(body),
    });
    expect((await answerOf(response)).parameters).toMatchObject({ prompt });
  });

  it('that differs by one space or one capital draws another picture', async () => {
    const prompts = ['a red circle', 'a red  circle', ' a red circle', 'A red circle', 'a red circle\u0000'];
    const drawn = [];
    for (const prompt of prompts) drawn.push((await pixels(await ask({ prompt }))).toString('base64'));
    expect(new Set(drawn).size).toBe(prompts.length);
  });

  it('that is too long is cut by the model’s rule, and said so', async () => {
    const [a, b] = [
      await ask({ prompt: promptOf('long-prompt-a.body'), max_sequence_length: 512 }),
      await ask({ prompt: promptOf('long-prompt-b.body'), max_sequence_length: 512 }),
    ];
    expect([a.warnings, b.warnings]).toEqual([[cutWarning('prompt')], [cutWarning('prompt')]]);
    expect(a.warnings[0]?.message).toContain('the first 512 were used');
    expect((await pixels(a)).equals(await pixels(b))).toBe(true);
    expect(a.parameters).toMatchObject({ prompt: promptOf('long-prompt-a.body'), max_sequence_length: 512 });
  });

  it('that a longer limit holds is drawn to its end', async () => {
    const [a, b] = [
      await ask({ prompt: promptOf('long-prompt-a.body'), max_sequence_length: 1024 }),
      await ask({ prompt: promptOf('long-prompt-b.body'), max_sequence_length: 1024 }),
    ];
    expect([a.warnings, b.warnings]).toEqual([[], []]);
    expect((await pixels(a)).equals(await pixels(b))).toBe(false);
  });

  it('is cut at exactly the limit, and not one token before', async () => {
    const words = (count: number) => Array<string>(count).fill('tree').join(' ');
    const tokens = async (count: number, max_sequence_length: number) =>
      (await ask({ prompt: words(count), max_sequence_length })).warnings;
    // One token a word.
    expect(await tokens(20, 20)).toEqual([]);
    expect(await tokens(21, 20)).toEqual([
      { ...cutWarning('prompt'), message: expect.stringMatching(/21 tokens, the first 20 were used/) },
    ]);
  });

  it('that is cut is told of in a header, beside bytes', async () => {
    const response = await client.postJson(
      { ...small, prompt: 'a red circle on a blue square', max_sequence_length: 2 },
      { accept: 'image/png' },
    );
    expect([response.status, response.headers.get('x-warnings')]).toEqual([200, 'PROMPT_TRUNCATED']);
    await response.arrayBuffer();
  });

  it('and a negative prompt are cut and told of each by itself', async () => {
    const long = promptOf('long-prompt-a.body');
    expect((await ask({ negative_prompt: long })).warnings).toEqual([cutWarning('negative_prompt')]);
    const { warnings } = await ask({ prompt: long, negative_prompt: long });
    expect(warnings.map(({ field: name }) => name).sort()).toEqual(['negative_prompt', 'prompt']);
    // Without guidance it is not read.
    expect((await ask({ negative_prompt: long, true_cfg_scale: 1 })).warnings).toEqual([]);
  });

  it.each<[string, string]>([
    ['20,000 digits', promptOf('prompt-20000-digits.body')],
    ['32,000 letters without a space', 'x'.repeat(32_000)],
    ['32,000 spaces', ' '.repeat(32_000)],
    ['32,000 emojis', '🟥'.repeat(32_000)],
    ['32,000 Chinese characters', '圆'.repeat(32_000)],
    ['32,000 marks on one letter', 'a'.padEnd(32_000, '\u0301')],
    ['10,000 words', 'tree '.repeat(6400).trim()],
  ])('of %s is answered, cut and told of, and does not hold others up', async (_name, prompt) => {
    const slow = ask({ prompt });
    expect((await client.get('/health')).status).toBe(200);
    const { warnings } = await slow;
    expect(warnings.filter(({ code }) => code !== 'PROMPT_TRUNCATED')).toEqual([]);
  });

  it.each([
    ['', 0],
    ['x'.repeat(32_001), 32_001],
    ['🟥'.repeat(32_001), 32_001],
  ])('of a length that is not allowed is refused', async (prompt, length) => {
    const message = `must have 1 to 32000 characters, has ${length}`;
    expect(await errorOf(await client.postJson({ ...small, prompt }))).toMatchObject({
      status: 400,
      details: [{ field: 'prompt', message }],
    });
  });

  it.each([[null], [1], [true], [['a red circle']], [{ text: 'a red circle' }], [[]]])(
    'that is %j is refused',
    async (prompt) => {
      expect(await errorOf(await client.postJson({ ...small, prompt }))).toMatchObject({ status: 400, param: 'prompt' });
    },
  );

  it.each([0, 1025, 2.5, '512'])('has no limit of %j tokens', async (max_sequence_length) => {
    expect(await errorOf(await client.postJson({ ...small, max_sequence_length }))).toMatchObject({
      status: 400,
      param: 'max_sequence_length',
    });
  });
});
