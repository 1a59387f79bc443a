import fc, { type Arbitrary } from 'fast-check';
import type { ApiDocument, Schema } from './document.js';
import { anything, boundProperties, refused, soundExpectation, soundFields, type Draft, type Expectation } from './draft.js';
import { jsonText, oddText, wrongValue } from './values.js';

const contentType = 'application/json';

/** Name and value, both as JSON text: so a name can come twice and a number be longer than a double. */
type Pair = readonly [name: string, text: string];

function draft(body: string | Buffer, expects: Expectation = anything): Draft {
  return { contentType, body: Buffer.from(body as string), expects };
}

function objectText(pairs: readonly Pair[]): string {
  return `{${pairs.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;
}

function without(pairs: readonly Pair[], names: readonly string[]): Pair[] {
  return pairs.filter(([name]) => !names.includes(name));
}

/** Bytes that are damaged somewhere. */
export function damaged(whole: Arbitrary<Buffer>): Arbitrary<Buffer> {
  const damage = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    kind: fc.constantFrom('cut', 'replace', 'insert', 'prefix', 'drop'),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 4 }),
      fc
        .constantFrom([0], [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0x0a])
        .map((list) => Uint8Array.from(list)),
    ),
  });
  return fc.tuple(whole, damage).map(([body, { at, kind, bytes }]) => {
    const place = Math.floor(at * body.length);
    const [head, tail] = [body.subarray(0, place), body.subarray(place)];
    if (kind === 'cut') return head;
    if (kind === 'prefix') return Buffer.concat([bytes, body]);
    if (kind === 'insert') return Buffer.concat([head, bytes, tail]);
    return Buffer.concat([head, kind === 'drop' ? Buffer.alloc(0) : bytes, tail.subarray(bytes.length)]);
  });
}

export function jsonBody(document: ApiDocument, given: Schema): Arbitrary<Draft> {
  const schema = document.resolve(given);
  const properties = schema.properties ?? {};
  const sound: Arbitrary<Pair[]> = soundFields(document, schema).map((fields) =>
    fields.map(([name, value]) => [name, JSON.stringify(value)] as const),
  );
  const bound = boundProperties(document, schema);
  const wrongField = fc.oneof(
    ...bound.map(([name, property]) => wrongValue(document, property).map((text): Pair => [name, text])),
  );
  const wrongFields = fc.uniqueArray(wrongField, { minLength: 1, maxLength: 3, selector: ([name]) => name });
  const unknownName = fc
    .oneof(
      oddText,
      fc.constantFrom('guidance_scale', 'steps', 'n', 'size', 'timeout_ms', '__proto__', 'constructor', 'Prompt', 'image'),
    )
    .filter((name) => !Object.hasOwn(properties, name));
  const unknownField = fc.tuple(unknownName, jsonText);
  const names = Object.keys(properties);
  const required = (schema.required ?? []).filter((name) => Object.hasOwn(properties, name));

  const right = sound.map((pairs) => draft(objectText(pairs), soundExpectation(schema)));
  const wrong = fc.tuple(sound, wrongFields).map(([pairs, faults]) => {
    const fields = faults.map(([name]) => name);
    return draft(objectText([...without(pairs, fields), ...faults]), refused(...fields));
  });
  const unknown = fc
    .tuple(sound, fc.array(unknownField, { minLength: 1, maxLength: 3 }))
    .map(([pairs, faults]) => draft(objectText([...pairs, ...faults]), refused(...faults.map(([name]) => name))));
  const twice = fc
    .tuple(sound, fc.constantFrom(...names), jsonText)
    .map(([pairs, name, text]) => draft(objectText([...pairs, [name, text], ...pairs.slice(0, 1)])));
  const noObject = jsonText.filter((text) => !text.startsWith('{')).map((text) => draft(text, refused()));
  const broken = damaged(sound.map((pairs) => Buffer.from(objectText(pairs)))).map((body) => draft(body));
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => draft(Buffer.from(bytes))),
    sound.map((pairs) => draft(Buffer.from(objectText(pairs), 'utf16le'))),
    fc
      .constantFrom(
        '',
        '{',
        '[',
        '"',
        'nul',
        '{"prompt":',
        "{'prompt':'x'}",
        '{"prompt":"\\ud83d"}',
        '{"prompt":"a"}}',
        '{"prompt":NaN}',
      )
      .map((text) => draft(text)),
  );
  const large = fc.oneof(
    fc.constant(draft(`{"prompt":"${'a'.repeat(1_100_000)}"}`)),
    fc
      .integer({ min: 1000, max: 60_000 })
      .map((count) => draft(`{${Array.from({ length: count }, (_, n) => `"f${n}":0`).join(',')}}`, refused())),
    fc.integer({ min: 1000, max: 900_000 }).map((length) => draft(`{"${'n'.repeat(length)}":0}`, refused())),
  );
  return fc.oneof(
    { weight: 12, arbitrary: right },
    { weight: 30, arbitrary: wrong },
    { weight: 12, arbitrary: unknown },
    { weight: 8, arbitrary: twice },
    { weight: 8, arbitrary: noObject },
    { weight: 16, arbitrary: broken },
    { weight: 10, arbitrary: garbage },
    { weight: 2, arbitrary: large },
    ...required.map((name) => ({
      weight: 2,
      arbitrary: sound.map((pairs) => draft(objectText(without(pairs, [name])), refused(name))),
    })),
  );
}
