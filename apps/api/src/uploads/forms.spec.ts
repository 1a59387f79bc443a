import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { boundary, field, file, formOf, formType, type Part } from '../../../../test/fixtures/forms.js';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';

const picture = readFileSync(join(__dirname, '../../../../test/fixtures/quadrants.png'));
const image = file('image', picture);
const good = [image, field('prompt', 'a red circle'), field('seed', '1')];
const octets = 'Content-Type: application/octet-stream';
const namelessPart = 'the form has a part without a name: each needs a Content-Disposition: form-data; name="…"';
const many = (count: number, part: (index: number) => Part) => Array.from({ length: count }, (_, index) => part(index));

interface Answer {
  status: number;
  code?: string | undefined;
  /** By field. */
  faults: Record<string, string>;
  message?: string | undefined;
}

describe('a form made by hand', () => {
  let api: TestApi;
  beforeAll(async () => (api = await startTestApi('limits.maxUploadBytes=100000')));
  afterAll(() => api.app.close());

  async function post(body: Buffer, headers: Record<string, string> = {}): Promise<Answer> {
    const { port } = api.app.getHttpServer().address() as AddressInfo;
    const response = await fetch(`http://127.0.0.1:${port}/image-to-image`, {
      method: 'POST',
      headers: { 'content-type': formType, ...headers },
      body: new Uint8Array(body),
    });
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const { error } = (await response.json()) as {
      error?: { code: string; message: string; request_id: string; details?: { field: string; message: string }[] };
    };
    expect(error?.request_id).toBe(error && response.headers.get('x-request-id'));
    const faults = Object.fromEntries((error?.details ?? []).map((detail) => [detail.field, detail.message]));
    return { status: response.status, code: error?.code, message: error?.message, faults };
  }

  /** Whatever came before, the next form is drawn. */
  afterEach(async () => {
    expect(await post(formOf(good))).toMatchObject({ status: 200 });
  });

  it.each<[string, Buffer]>([
    [
      'with text before its first boundary and behind its last',
      Buffer.concat([Buffer.from('hello\r\n'), formOf(good), Buffer.from('bye')]),
    ],
    ['whose last line does not end', formOf(good, { end: `--${boundary}--` })],
    ['with a dot for a file name', formOf([file('image', picture, '.'), ...good.slice(1)])],
    ['with a path for a file name', formOf([file('image', picture, '../../etc/passwd'), ...good.slice(1)])],
    ['with NUL in a prompt', formOf([image, field('prompt', 'a\0b')])],
    [
      'with a hundred headers of a part',
      formOf([image, { headers: [...field('prompt', '').headers, ...Array<string>(100).fill('X-A: b')], content: 'x' }]),
    ],
    [
      'with a prompt in another charset',
      formOf([
        image,
        {
          headers: [...field('prompt', '').headers, 'Content-Type: text/plain; charset=iso-8859-1'],
          content: Buffer.from('pr\xf6mpt', 'latin1'),
        },
      ]),
    ],
    [
      'whose browser chose no file for another input',
      formOf([...good, { headers: ['Content-Disposition: form-data; name="other"; filename=""', octets], content: '' }]),
    ],
  ])('%s is taken', async (_name, body) => {
    expect(await post(body)).toEqual({ status: 200, faults: {} });
  });

  it.each<[string, readonly Part[], Record<string, unknown>]>([
    ['no parts at all', [], { image: 'is required: a PNG, JPEG or WebP file', prompt: 'is required' }],
    ['a field twice', [...good, field('seed', '2')], { seed: 'was sent more than once' }],
    ['the same field 64 times', [image, ...many(64, () => field('prompt', 'x'))], { prompt: 'was sent more than once' }],
    ['two files', [...good, image], { image: 'must be one file, got 2' }],
    ['three files', [...good, image, image], { image: 'must be one file, got more than 2' }],
    ['a file of another name', [...good, file('picture', 'x')], { picture: 'is not a file of this route; did you mean image?' }],
    [
      'only a file of another name',
      [file('img', picture), good[1]!],
      { image: 'is required: a PNG, JPEG or WebP file', img: expect.any(String) },
    ],
    [
      'a field for the file',
      [...good.slice(1), field('image', picture)],
      { image: 'must be a file: its part needs a file name' },
    ],
    ['a field beside the file', [...good, field('image', 'x')], { image: 'must be a file: its part needs a file name' }],
    ['a file for a field', [image, file('prompt', 'a red circle', 'prompt.txt')], { prompt: expect.any(String) }],
    [
      'a file that nobody chose',
      [...good.slice(1), { headers: ['Content-Disposition: form-data; name="image"; filename=""', octets], content: '' }],
      { image: 'is required: a PNG, JPEG or WebP file' },
    ],
    [
      'a file without a name',
      [...good.slice(1), { headers: ['Content-Disposition: form-data; name="image"', octets], content: picture }],
      { image: expect.stringContaining('without a file name') },
    ],
    [
      'a seed as bytes',
      [image, good[1]!, { headers: [...field('seed', '').headers, octets], content: '1' }],
      { seed: expect.stringContaining('without a file name') },
    ],
    ['__proto__', [...good, field('__proto__', 'x')], { ['__proto__']: 'is not a field of this route' }],
    ['constructor', [...good, field('constructor', 'x')], { constructor: 'is not a field of this route' }],
    [
      'a member of __proto__',
      [...good, field('__proto__[seed]', '2')],
      { '__proto__[seed]': expect.stringContaining('brackets') },
    ],
    ['a nested name', [...good, field('a[b][c]', 'x')], { 'a[b][c]': expect.stringContaining('brackets') }],
    ['a list of prompts', [image, field('prompt[]', 'x')], { 'prompt[]': expect.stringContaining('brackets') }],
    [
      'a place in a list',
      [image, field('prompt[4294967294]', 'x')],
      { 'prompt[4294967294]': expect.stringContaining('brackets') },
    ],
    [
      'bytes that are no text',
      [image, field('prompt', Buffer.from([0x61, 0xc3, 0x28, 0xff]))],
      { prompt: expect.stringContaining('must be UTF-8') },
    ],
    [
      'U+FFFD itself, which nobody can tell from such bytes',
      [image, field('prompt', 'a \ufffd circle')],
      { prompt: 'must be UTF-8 without U+FFFD, which in a form looks like bytes that are not UTF-8' },
    ],
    [
      'a charset that is not known',
      [image, { headers: [...field('prompt', '').headers, 'Content-Type: text/plain; charset=utf-16be'], content: '\0a' }],
      { prompt: 'must be UTF-8: its part of the form names a charset that is not known here' },
    ],
    [
      'a prompt over the limit',
      [image, field('prompt', 'x'.repeat(32_001))],
      { prompt: 'must have 1 to 32000 characters, has 32001' },
    ],
    ['a name of 100 bytes', [...good, field('n'.repeat(100), 'x')], { ['n'.repeat(100)]: 'is not a field of this route' }],
    ['a name that is not ASCII', [...good, field('größe', 'x')], { größe: 'is not a field of this route' }],
    [
      'several faults',
      [field('width', '100'), field('seed', '-1')],
      {
        image: expect.any(String),
        prompt: 'is required',
        width: expect.any(String),
        height: expect.any(String),
        seed: expect.any(String),
      },
    ],
  ])('with %s is refused by name', async (_name, parts, faults) => {
    expect(await post(formOf(parts))).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
    expect((await post(formOf(parts))).faults).toEqual(faults);
  });

  it.each<[string, Buffer, string]>([
    ['65 fields', formOf([image, ...many(65, (index) => field(`f${index}`, 'x'))]), 'the form has more than 64 fields'],
    [
      '67 parts that are no fields',
      formOf(many(67, () => ({ headers: ['X-Note: nothing'], content: 'x' }))),
      'the form has more than 66 parts',
    ],
    ['a long name', formOf([...good, field('n'.repeat(101), 'x')]), 'the form has a field whose name is longer than 100 bytes'],
    [
      'a long name of a file',
      formOf([...good, file('n'.repeat(101), 'x')]),
      'the form has a field whose name is longer than 100 bytes',
    ],
    ['a field without a name', formOf([...good, { headers: ['Content-Disposition: form-data'], content: 'x' }]), namelessPart],
    [
      'a file without a name',
      formOf([...good, { headers: ['Content-Disposition: form-data; filename="x.png"'], content: 'x' }]),
      namelessPart,
    ],
    ...[
      'X-Note: nothing',
      'Content-Type: text/plain',
      'Content-Disposition: attachment; name="seed"',
      'Content-Disposition: form-data; name="seed" junk',
      'Content-Disposition: form-data; name="seed"; junk',
      'Content-Disposition: form-data; name="seed',
      'Content-Disposition: form-data; name=zz"q',
    ].map((header): [string, Buffer, string] => [
      `a part of ${header}`,
      formOf([image, field('prompt', 'x'), { headers: [header], content: '7' }]),
      namelessPart,
    ]),
    [
      'more headers than a part may have',
      formOf([{ headers: [...field('prompt', '').headers, ...Array<string>(3000).fill('X-A: b')], content: 'x' }]),
      'the form cannot be read: Malformed part header',
    ],
    [
      'a header without an end',
      formOf([{ headers: [`X-A: ${'b'.repeat(20_000)}`], content: 'x' }]),
      'the form cannot be read: Malformed part header',
    ],
    ['NUL in a header', formOf([field('pro\0mpt', 'x')]), 'the form cannot be read: Malformed part header'],
    ['no last boundary', formOf(good, { end: '' }), 'the form cannot be read: Unexpected end of form'],
    ['an end in the middle of a file', formOf(good).subarray(0, 300), 'the form cannot be read: Unexpected end of form'],
    ['an end in the middle of a header', formOf(good).subarray(0, 40), 'the form cannot be read: Unexpected end of form'],
    ['lines that end by LF alone', formOf(good, { lineEnd: '\n' }), 'the form cannot be read: Unexpected end of form'],
    [
      'another boundary',
      Buffer.from(formOf(good).toString('latin1').replaceAll(boundary, 'OTHER'), 'latin1'),
      'the form cannot be read: Unexpected end of form',
    ],
    ['nothing in it', Buffer.alloc(0), 'the form cannot be read: Unexpected end of form'],
  ])('with %s is refused', async (_name, body, message) => {
    expect(await post(body)).toEqual({ status: 400, code: 'INVALID_ARGUMENT', message, faults: {} });
  });

  it.each<[string, Buffer, string]>([
    ['a field', formOf([image, field('prompt', 'x'.repeat(1024 * 1024 + 1))]), 'prompt'],
    ['a file', formOf([file('image', Buffer.alloc(100_001)), good[1]!]), 'image'],
    ['a second file', formOf([...good, file('image', Buffer.alloc(100_001))]), 'image'],
  ])('with %s of too many bytes is refused', async (_name, body, name) => {
    const { status, code, faults } = await post(body);
    expect([status, code, Object.keys(faults)]).toEqual([413, 'PAYLOAD_TOO_LARGE', [name]]);
  });

  it.each<[string, Record<string, string>, number]>([
    ['no boundary', { 'content-type': 'multipart/form-data' }, 400],
    ['an empty boundary', { 'content-type': 'multipart/form-data; boundary=' }, 400],
    ['no end of the quotes', { 'content-type': 'multipart/form-data; boundary="B' }, 400],
    ['another multipart type', { 'content-type': `multipart/mixed; boundary=${boundary}` }, 415],
    ['a form of another kind', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
    ['no type', { 'content-type': '' }, 415],
    ['a packed body', { 'content-encoding': 'gzip' }, 415],
  ])('that says %s is refused', async (_name, headers, status) => {
    expect(await post(formOf(good), headers)).toMatchObject({ status });
  });

  it.each([formType, `multipart/form-data; boundary="${boundary}"`, `Multipart/Form-Data; charset=utf-8; Boundary=${boundary}`])(
    'of the type %s is taken',
    async (type) => {
      expect(await post(formOf(good), { 'content-type': type, 'content-encoding': 'identity' })).toMatchObject({ status: 200 });
    },
  );
});
