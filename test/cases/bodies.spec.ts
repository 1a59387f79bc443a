import { gzipSync } from 'node:zlib';
import { answerOf, Client, firstOf, fixture, picturesOf, small } from '../e2e/client.js';
import { eventually, Server } from '../e2e/server.js';
import { field, file, formOf, formType } from '../fixtures/forms.js';
import { RawClient } from '../fixtures/raw-client.js';

const maxUploadBytes = 1_000_000;
const mebibyte = 1024 * 1024;
const picture = fixture('quadrants.png');

describe('a body', () => {
  let server: Server;
  let client: Client;
  let asBefore: Buffer;
  beforeAll(async () => {
    server = await Server.ready('--set', `limits.maxUploadBytes=${maxUploadBytes}`);
    client = new Client(server);
    asBefore = firstOf(await client.draw(small)).data;
  });
  afterEach(async () => {
    expect(firstOf(await client.draw(small)).data.equals(asBefore)).toBe(true);
  });
  afterAll(async () => {
    expect(server.log.filter(({ level }) => level === 'error')).toEqual([]);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  function post(
    path: string,
    contentType: string | null,
    body: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const type: Record<string, string> = contentType === null ? {} : { 'content-type': contentType };
    // Bytes have no type of their own, unlike text.
    return fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { ...type, ...headers },
      body: new Uint8Array(Buffer.from(body as string)),
    });
  }
  const json = (body: string | Buffer, headers: Record<string, string> = {}) =>
    post('/text-to-image', 'application/json', body, headers);
  const form = (body: string | Buffer, type = formType) => post('/image-to-image', type, body);

  /** In the one shape, whatever found the fault. */
  async function expectError(response: Response, status: number, code: string): Promise<string> {
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect([response.status, error]).toEqual([
      status,
      expect.objectContaining({
        code,
        type: 'invalid_request_error',
        message: expect.stringMatching(/./),
        request_id: response.headers.get('x-request-id'),
      }),
    ]);
    expect(response.headers.get('x-should-retry')).toBe('false');
    return String(error['message']);
  }

  it.each<[string, string | Buffer, Record<string, string>]>([
    ['as JSON', JSON.stringify({ ...small, prompt: 'x'.repeat(mebibyte) }), {}],
    ['as JSON, of spaces only', ' '.repeat(2 * mebibyte), {}],
    [
      'as JSON that was packed',
      gzipSync(JSON.stringify({ ...small, prompt: 'x'.repeat(50 * mebibyte) })),
      { 'content-encoding': 'gzip' },
    ],
  ])('that is too large is refused %s', async (_name, body, headers) => {
    expect(await expectError(await json(body, headers), 413, 'PAYLOAD_TOO_LARGE')).toContain('1 MiB');
  });

  it.each<[string, Buffer]>([
    ['by a byte, in a file', formOf([file('image', Buffer.alloc(maxUploadBytes + 1)), field('prompt', 'x')])],
    ['by a byte, in a file behind the text', formOf([field('prompt', 'x'), file('image', Buffer.alloc(maxUploadBytes + 1))])],
    ['by a byte, in a file of another name', formOf([file('other', Buffer.alloc(maxUploadBytes + 1)), field('prompt', 'x')])],
    ['in a file, by megabytes', formOf([file('image', Buffer.alloc(30 * mebibyte)), field('prompt', 'x')])],
    ['in a field', formOf([file('image', picture), field('prompt', 'x'.repeat(mebibyte + 1))])],
    ['in its preamble', Buffer.concat([Buffer.alloc(5 * mebibyte), formOf([file('image', picture), field('prompt', 'x')])])],
  ])('that is too large is refused as a form: %s', async (_name, body) => {
    await expectError(await form(body), 413, 'PAYLOAD_TOO_LARGE');
  });

  it('that is as large as it may be is taken', async () => {
    const padded = Buffer.concat([picture, Buffer.alloc(maxUploadBytes - picture.length)]);
    expect((await form(formOf([file('image', padded), field('prompt', 'x'), field('num_inference_steps', '4')]))).status).toBe(
      200,
    );
    const text = JSON.stringify({ ...small, prompt: 'x' });
    expect((await json(text.padEnd(mebibyte, ' '))).status).toBe(200);
  });

  it.each<[string, string | Buffer]>([
    ['half of JSON', '{:'],
    ['nothing', ''],
    ['a space', ' '],
    ['a name without quotes', '{prompt:"x"}'],
    ['single quotes', "{'prompt':'x'}"],
    ['a comma too many', '{"prompt":"x",}'],
    ['a comment', '{"prompt":"x"/* y */}'],
    ['two objects', '{"prompt":"x"}{"prompt":"y"}'],
    ['a line break in a string', '{"prompt":"x\ny"}'],
    ['a control in a string', '{"prompt":"x\u0001y"}'],
    ['null', 'null'],
    ['a list', '[{"prompt":"x"}]'],
    ['a string', '"a red circle"'],
    ['a number', '1'],
    ['an empty object', '{}'],
    ['a string without an end', '{"prompt":"x'],
    ['an escape that is none', '{"prompt":"\\x41"}'],
    ['half of a character', '{"prompt":"\\u12"}'],
    ['a form', 'prompt=a+red+circle'],
    ['very deep lists', `{"prompt":${'['.repeat(200_000)}${']'.repeat(200_000)}}`],
    ['very deep lists without an end', '['.repeat(500_000)],
    ['very deep objects', `${'{"prompt":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['a byte order mark and half of JSON', '\ufeff{'],
    ['UTF-16', Buffer.from('\ufeff{"prompt":"x"}', 'utf16le')],
    ['a picture', picture],
  ])('that holds %s is no request', async (_name, body) => {
    await expectError(await json(body), 400, 'INVALID_ARGUMENT');
  });

  it.each<[string, string | null, number]>([
    ['/text-to-image', 'text/plain', 415],
    ['/text-to-image', 'application/x-www-form-urlencoded', 415],
    ['/text-to-image', 'multipart/form-data; boundary=x', 415],
    ['/text-to-image', 'application/jsonp', 415],
    ['/text-to-image', 'application/json, text/plain', 415],
    ['/text-to-image', 'json', 415],
    ['/text-to-image', null, 415],
    ['/image-to-image', 'text/plain', 415],
    ['/image-to-image', 'application/json', 415],
    ['/image-to-image', 'image/png', 415],
    ['/image-to-image', 'multipart/mixed; boundary=x', 415],
    ['/image-to-image', null, 415],
    ['/image-to-image', 'multipart/form-data', 400],
  ])('to %s of the type %s is answered %i', async (path, type, status) => {
    const body = JSON.stringify(small);
    await expectError(await post(path, type, body), status, status === 415 ? 'UNSUPPORTED_MEDIA_TYPE' : 'INVALID_ARGUMENT');
  });

  it.each(['utf-16', 'utf-16le', 'utf-7', 'iso-8859-1', 'nonsense'])('that says it is %s is refused', async (charset) => {
    const response = await post('/text-to-image', `application/json; charset=${charset}`, JSON.stringify(small));
    expect(await expectError(response, 415, 'UNSUPPORTED_MEDIA_TYPE')).toContain('utf-8');
  });

  it.each<[string, string | Buffer, Record<string, string>]>([
    ['as it is', JSON.stringify(small), {}],
    ['packed', gzipSync(JSON.stringify(small)), { 'content-encoding': 'gzip' }],
  ])('of JSON is taken %s', async (_name, body, headers) => {
    expect(firstOf(await picturesOf(await answerOf(await json(body, headers)))).data.equals(asBefore)).toBe(true);
  });

  it.each(['gzip', 'br', 'deflate'])('that says %s and is not packed is refused', async (encoding) => {
    const response = await json(JSON.stringify(small), { 'content-encoding': encoding });
    const message = await expectError(response, 400, 'INVALID_ARGUMENT');
    const reason = encoding === 'br' ? 'Decompression failed' : 'incorrect header check';
    expect(message).toBe(`the body is not the ${encoding} that its Content-Encoding says: ${reason}`);
  });

  it('packed in a way that nobody knows is refused', async () => {
    await expectError(await json(JSON.stringify(small), { 'content-encoding': 'zip' }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  it('with its file first, last or in the middle is the same request', async () => {
    const drawn: Buffer[] = [];
    for (const name of ['form-file-first.body', 'form-text-first.body', 'form-file-middle.body']) {
      drawn.push(firstOf(await picturesOf(await answerOf(await form(fixture(name))))).data);
    }
    expect(drawn.map((data) => data.equals(drawn[0]!))).toEqual([true, true, true]);
  });

  it('is the same request in every order of its parts', async () => {
    const parts = [
      file('image', picture),
      field('prompt', 'a red circle'),
      field('seed', '1'),
      field('num_inference_steps', '4'),
    ];
    const drawn: Buffer[] = [];
    for (let turn = 0; turn < parts.length; turn++) {
      const turned = [...parts.slice(turn), ...parts.slice(0, turn)];
      const answer = await answerOf(await form(formOf(turned)));
      expect(answer.parameters).toMatchObject({ prompt: 'a red circle', seed: 1, num_inference_steps: 4 });
      drawn.push(firstOf(await picturesOf(answer)).data);
    }
    expect(drawn.map((data) => data.equals(drawn[0]!))).toEqual([true, true, true, true]);
  });

  it('is the same form in however small pieces it comes', async () => {
    const body = formOf([
      file('image', picture),
      field('prompt', 'a red circle'),
      field('seed', '1'),
      field('num_inference_steps', '4'),
    ]);
    const whole = await answerOf(await form(body));
    const raw = await RawClient.connect(server.port);
    await raw.ask('POST', '/image-to-image', { 'Content-Type': formType, 'Content-Length': body.length });
    for (let at = 0; at < body.length; at += 7) await raw.send(body.subarray(at, at + 7));
    const { status, text } = await raw.answer();
    raw.close();
    expect(status).toBe(200);
    const [a, b] = await Promise.all([whole, JSON.parse(text) as typeof whole].map((answer) => picturesOf(answer)));
    expect(firstOf(b!).data.equals(firstOf(a!).data)).toBe(true);
  });

  it.each([
    ['/text-to-image', 'application/json'],
    ['/image-to-image', formType],
  ])('to %s that its client leaves in the middle of is nobody’s request', async (path, type) => {
    const refused = async () => {
      const metrics = await (await client.get('/metrics')).text();
      return Number(/rejected_total\{reason="CANCELLED"\} (\d+)/.exec(metrics)?.[1] ?? 0);
    };
    const before = await refused();
    const raw = await RawClient.connect(server.port);
    await raw.ask('POST', path, { 'Content-Type': type, 'Content-Length': 1000 });
    await raw.send('{"prompt":');
    raw.leave();
    await eventually('it is counted', async () => (await refused()) === before + 1);
  });
});
