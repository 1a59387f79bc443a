import fc, { type Arbitrary } from 'fast-check';
import type { ApiDocument, Schema } from './document.js';
import {
  anything,
  boundProperties,
  isFile,
  refused,
  soundExpectation,
  soundFields,
  type Draft,
  type Expectation,
} from './draft.js';
import { damaged } from './json-bodies.js';
import type { Pictures } from './pictures.js';
import { oddText } from './values.js';

interface Part {
  name: string;
  data: Buffer;
  fileName?: string;
  /** Put in place of the headers that name and fileName make. */
  headers?: string;
}

const boundary = 'fuzz-7MA4YWxkTrZu0gW';
const rightType = `multipart/form-data; boundary=${boundary}`;

function headersOf({ name, fileName, headers }: Part): string {
  if (headers !== undefined) return headers;
  const file = fileName === undefined ? '' : `; filename="${fileName}"\r\nContent-Type: application/octet-stream`;
  return `Content-Disposition: form-data; name="${name}"${file}`;
}

function formBytes(parts: readonly Part[], { mark = boundary, newline = '\r\n', end = '--' } = {}): Buffer {
  const pieces = parts.flatMap((part) => {
    const head = `--${mark}${newline}${headersOf(part).replaceAll('\r\n', newline)}${newline}${newline}`;
    return [Buffer.from(head), part.data, Buffer.from(newline)];
  });
  return Buffer.concat([...pieces, Buffer.from(`--${mark}${end}${newline}`)]);
}

function draft(parts: readonly Part[], expects: Expectation = anything): Draft {
  return { contentType: rightType, body: formBytes(parts), expects };
}

const textPart = (name: string, text: string): Part => ({ name, data: Buffer.from(text) });
const filePart = (name: string, data: Buffer): Part => ({ name, data, fileName: 'picture.png' });
const without = (parts: readonly Part[], name: string) => parts.filter((part) => part.name !== name);

/** Text that no form field of this schema may hold. Spellings are the contract's: "20" is 20, "0x10" and "1e2" are no integers. */
function wrongText(document: ApiDocument, schema: Schema): Arbitrary<string> | null {
  const { type, enum: values, minimum = 0, maximum = 0, exclusiveMinimum, maxLength } = document.resolve(schema);
  const misspelt = fc.constantFrom(
    '',
    'abc',
    '0x10',
    ' 5',
    '5 ',
    '+5',
    '٥',
    '1_0',
    'NaN',
    'Infinity',
    'null',
    '[]',
    '{}',
    '1,5',
    '9'.repeat(400),
    '\0',
  );
  if (values) return oddText.filter((text) => !/\p{Surrogate}/u.test(text) && !values.includes(text));
  if (type === 'boolean') return fc.oneof(misspelt, fc.constantFrom('TRUE', '1', '0', 'yes'));
  if (type === 'integer') return fc.oneof(misspelt, fc.constantFrom('1e2', '1.5', '5.0', `${maximum + 1}`, `${minimum - 1}`));
  if (type === 'number')
    return fc.oneof(misspelt, fc.constantFrom(`${maximum + 1}`, `${(exclusiveMinimum ?? minimum) - 1}`, '.5'));
  if (type === 'string' && maxLength !== undefined) return fc.constant('a'.repeat(maxLength + 1));
  return null;
}

const oddPart: Arbitrary<Part> = fc.record(
  {
    name: fc.constantFrom(
      'prompt',
      'image',
      'x',
      'a[b]',
      'a[b][c][d][e]',
      'a[]',
      'a[99999999]',
      '[',
      '__proto__',
      'constructor[prototype][x]',
      'n'.repeat(300),
    ),
    data: fc.oneof(
      oddText.map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    ),
    fileName: fc.constantFrom('', '../../x.png', 'a\0b.png', '"', 'ü.png', 'x'.repeat(5000), 'con'),
    headers: fc.constantFrom(
      '',
      'Content-Disposition',
      'Content-Disposition: form-data',
      'Content-Disposition: attachment; name="prompt"',
      'Content-Disposition: form-data; name=',
      'Content-Disposition: form-data; name="prompt',
      "Content-Disposition: form-data; name*=utf-8''prompt",
      'Content-Disposition: form-data; name="prompt"\r\nContent-Transfer-Encoding: base64',
      'Content-Disposition: form-data; name="prompt"\r\nContent-Type: text/plain; charset=utf-16',
      'Content-Disposition: form-data; name="image"; filename="x.png"\r\nContent-Type: image/png; charset="',
      'Content-Type: multipart/mixed; boundary=inner',
      Array.from({ length: 100 }, (_, n) => `X-H${n}: 1`).join('\r\n'),
      `X-Long: ${'x'.repeat(20_000)}`,
      '\0: \0',
    ),
  },
  { requiredKeys: ['name', 'data'] },
);

const wrongTypes = [
  'multipart/form-data',
  'multipart/form-data; boundary=',
  'multipart/form-data; boundary=other',
  `multipart/form-data; boundary="${boundary}`,
  `multipart/form-data; boundary=${'x'.repeat(300)}`,
  'multipart/form-data; boundary=\u00ff',
  `multipart/mixed; boundary=${boundary}`,
  `multipart/form-data; charset=utf-16; boundary=${boundary}`,
  `Multipart/Form-Data; BOUNDARY=${boundary}`,
];

export function formBody(document: ApiDocument, given: Schema, { right, wrong }: Pictures): Arbitrary<Draft> {
  const schema = document.resolve(given);
  const files = Object.entries(schema.properties ?? {}).filter(([, property]) => isFile(property));
  const neededFiles = files.map(([name]) => name).filter((name) => schema.required?.includes(name));
  const texts = soundFields(document, schema).map((fields) =>
    fields.map(([name, value]) => textPart(name, typeof value === 'string' ? value : spelled(value))),
  );
  const pictures = fc.tuple(...neededFiles.map((name) => fc.constantFrom(...right).map((data) => filePart(name, data))));
  // The order of fields and files in a form means nothing.
  const sound: Arbitrary<Part[]> = fc
    .tuple(texts, pictures, fc.boolean())
    .map(([fields, uploads, filesFirst]) => (filesFirst ? [...uploads, ...fields] : [...fields, ...uploads]));

  const wrongFields = boundProperties(document, schema).flatMap(([name, property]) => {
    const text = wrongText(document, property);
    return text ? [text.map((value) => textPart(name, value))] : [];
  });
  const wrongPart = fc.oneof(...wrongFields);
  const unknownPart = fc
    .tuple(
      fc.constantFrom('steps', 'guidance_scale', 'x', 'Prompt', 'constructor', '__proto__', 'toString'),
      fc.boolean(),
      oddText,
    )
    .map(([name, file, text]) => (file ? filePart(name, Buffer.from(text)) : textPart(name, text)));
  const anyFile = fc.oneof(
    fc.constantFrom(...wrong),
    fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)),
    damaged(fc.constantFrom(...right)),
  );
  const fileName = fc.constantFrom(...files.map(([name]) => name), 'x');

  return fc.oneof(
    { weight: 12, arbitrary: sound.map((parts) => draft(parts, soundExpectation(schema))) },
    {
      weight: 24,
      arbitrary: fc
        .tuple(sound, wrongPart)
        .map(([parts, fault]) => draft([...without(parts, fault.name), fault], refused(fault.name))),
    },
    { weight: 8, arbitrary: fc.tuple(sound, unknownPart).map(([parts, fault]) => draft([...parts, fault], refused(fault.name))) },
    {
      weight: 20,
      arbitrary: fc
        .tuple(sound, fileName, anyFile)
        .map(([parts, name, data]) => draft([...without(parts, name), filePart(name, data)])),
    },
    {
      weight: 4,
      arbitrary: sound.map((parts) =>
        draft([...parts, ...parts.slice(0, 1)], refused(...parts.slice(0, 1).map(({ name }) => name))),
      ),
    },
    ...neededFiles.map((name) => ({ weight: 3, arbitrary: sound.map((parts) => draft(without(parts, name), refused(name))) })),
    {
      weight: 16,
      arbitrary: fc
        .tuple(sound, fc.array(oddPart, { minLength: 1, maxLength: 5 }))
        .map(([parts, odd]) => draft([...odd, ...parts])),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(sound, fc.integer({ min: 60, max: 200 }))
        .map(([parts, count]) => draft([...parts, ...Array.from({ length: count }, (_, n) => textPart(`f${n}`, 'x'))])),
    },
    { weight: 16, arbitrary: damaged(sound.map((parts) => formBytes(parts))).map((body) => ({ ...draft([]), body })) },
    {
      weight: 6,
      arbitrary: fc
        .tuple(
          sound,
          fc.record({
            newline: fc.constantFrom('\r\n', '\n'),
            end: fc.constantFrom('--', '', '-', '--x'),
            mark: fc.constantFrom(boundary, 'other', ''),
          }),
        )
        .map(([parts, layout]) => ({ ...draft([]), body: formBytes(parts, layout) })),
    },
    {
      weight: 8,
      arbitrary: fc
        .tuple(sound, fc.constantFrom(...wrongTypes))
        .map(([parts, contentType]) => ({ ...draft(parts), contentType })),
    },
  );
}

/** A number's digits, without an exponent: a form knows none. */
function spelled(value: unknown): string {
  if (typeof value !== 'number') return String(value);
  return Number.isInteger(value) ? String(value) : value.toFixed(12);
}
