import fc, { type Arbitrary } from 'fast-check';
import type { ApiDocument, Schema } from './document.js';

/** Text that software trips over; may hold halves of surrogate pairs. */
export const oddText: Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\t\r\n',
    '\uFEFF',
    '\u202Eabc\u202C',
    '\uFFFD\uFFFF',
    '𝔘𝔫𝔦',
    '👩‍👩‍👧‍👦',
    'e\u0301'.repeat(50),
  ),
  fc.constantFrom('\ud800', 'x\udfff', '\udc00\ud800'),
  fc.constantFrom(
    '../../etc/passwd',
    '%2e%2e%2f',
    '${7*7}',
    '{{7*7}}',
    '<script>alert(1)</script>',
    "' OR 1=1 --",
    '%s%n%x',
    'null',
    'true',
    'NaN',
  ),
  fc.constantFrom('<|im_end|>', '<|image_pad|>', '<|vision_start|>', '<|endoftext|>', '__proto__', 'constructor', 'toString'),
  fc.nat({ max: 3000 }).map((length) => 'é'.repeat(length)),
);

/** A prompt that the contract allows, and whose tokens ask for nothing. */
export const plainPrompt: Arbitrary<string> = fc.oneof(
  fc.constant('a red circle'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).filter((text) => !text.includes('<|')),
  fc.constantFrom(' ', '\0', '\u202Erotcirc', '👩‍👩‍👧‍👦 𝔘', 'e\u0301'.repeat(200)),
);

/** Numbers as JSON spells them, beyond what a double holds. */
const numberText: Arbitrary<string> = fc.oneof(
  fc.constantFrom('0', '-0', '-1', '1', '2', '1.5', '1e2', '1.0', '0.1', '-1e-7', '1e-400', '1e308', '1e999', '-1e999'),
  fc.constantFrom('2147483647', '2147483648', '4294967296', '9007199254740991', '9007199254740992', '9223372036854775808'),
  fc.constantFrom('123456789012345678901234567890', '9'.repeat(400), `0.${'0'.repeat(400)}1`),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
);

const nested: Arbitrary<string> = fc
  .tuple(fc.constantFrom(1, 3, 100, 5000, 100_000), fc.constantFrom('list', 'object'))
  .map(([depth, kind]) =>
    kind === 'list' ? '['.repeat(depth) + ']'.repeat(depth) : '{"a":'.repeat(depth) + '1' + '}'.repeat(depth),
  );

/** Any JSON value, as text. */
export const jsonText: Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: numberText },
  { weight: 4, arbitrary: oddText.map((text) => JSON.stringify(text)) },
  {
    weight: 3,
    arbitrary: fc.constantFrom('null', 'true', 'false', '[]', '{}', '[1]', '""', '{"__proto__":{"x":1}}', '{"toString":1}'),
  },
  { weight: 3, arbitrary: fc.json({ maxDepth: 3 }) },
  { weight: 1, arbitrary: nested },
);

/** Values at the edges of a schema, one side or the other. */
function edges({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, minLength, maxLength }: Schema): string[] {
  const bounds = [minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf].filter((bound) => bound !== undefined);
  const numbers = bounds
    .flatMap((bound) => [bound - 1, bound - 0.5, bound, bound + 0.5, bound + 1])
    .map((value) => JSON.stringify(value));
  const lengths = [minLength, maxLength].filter((bound) => bound !== undefined);
  const texts = lengths.flatMap((bound) => [bound - 1, bound, bound + 1]).filter((length) => length >= 0);
  return [...numbers, ...texts.map((length) => JSON.stringify('a'.repeat(length)))];
}

/** JSON text of a value that the document does not allow here. */
export function wrongValue(document: ApiDocument, schema: Schema): Arbitrary<string> {
  const near = edges(document.resolve(schema));
  const pool = near.length > 0 ? fc.oneof(jsonText, fc.constantFrom(...near)) : jsonText;
  return pool.filter((text) => !document.allows(schema, JSON.parse(text) as unknown));
}

/** A value that the document allows here, as far as the schema's own words go. */
export function rightValue(document: ApiDocument, given: Schema): Arbitrary<unknown> {
  const schema = document.resolve(given);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices && choices.length > 0) return fc.oneof(...choices.map((choice) => rightValue(document, choice)));
  if (schema.enum && schema.enum.length > 0) return fc.constantFrom(...schema.enum);
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  const { minimum = schema.exclusiveMinimum ?? 0, maximum = minimum + 1000, multipleOf = 1 } = schema;
  switch (type) {
    case 'integer':
      return fc
        .integer({ min: Math.ceil(minimum / multipleOf), max: Math.floor(maximum / multipleOf) })
        .map((n) => n * multipleOf);
    case 'number':
      return fc.double({ min: minimum, max: maximum, noNaN: true, minExcluded: schema.exclusiveMinimum !== undefined });
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(rightValue(document, schema.items ?? {}), { maxLength: 3 });
    case 'object': {
      const { properties = {}, required = [] } = schema;
      const fields = Object.entries(properties).map(([name, property]) => [name, rightValue(document, property)] as const);
      const values: Record<string, Arbitrary<unknown>> = Object.fromEntries(fields);
      return fc.record(values, { requiredKeys: required.filter((name) => Object.hasOwn(values, name)) });
    }
    case 'null':
      return fc.constant(null);
    default:
      return fc.string({ unit: 'grapheme', minLength: schema.minLength ?? 0, maxLength: Math.min(schema.maxLength ?? 30, 30) });
  }
}
