import fc, { type Arbitrary } from 'fast-check';
import { gzipSync } from 'node:zlib';

export type Headers = Readonly<Record<string, string>>;

/** All that a header's value may hold on the wire, obs-text too. */
const oddValue: Arbitrary<string> = fc.oneof(
  fc.string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((code) => code !== 0x7f)
      .map((code) => String.fromCharCode(code)),
    maxLength: 60,
  }),
  fc.constantFrom(
    '',
    ' ',
    ',',
    ';',
    '"',
    '\\',
    ',,,;;;q=',
    'null',
    '*',
    '-1',
    '0',
    'NaN',
    '1e999',
    '\u00ff\u0080',
    'a'.repeat(4000),
  ),
);

const accepts = [
  '*/*',
  'application/json',
  'image/png',
  'image/*',
  'image/webp;q=0.5, image/jpeg',
  'image/png;q=0, image/*',
  'text/html',
  'application/json;q=0',
  'image/png;q=NaN',
  'image/png;q=-1, */*;q=1e9',
  'text/event-stream',
  `${'image/png,'.repeat(300)}*/*`,
];

/** Headers that change nothing about which of a body's fields are right. */
const bystanders: Readonly<Record<string, Arbitrary<string>>> = {
  accept: fc.oneof(fc.constantFrom(...accepts), oddValue),
  'x-request-id': fc.oneof(
    fc.uuid(),
    fc.constantFrom('a', '.', 'x'.repeat(128), 'x'.repeat(129), 'a b', '{{7*7}}', 'a\u00fc'),
    oddValue,
  ),
  authorization: fc.oneof(
    fc.constantFrom('Bearer x', 'Bearer', 'bearer  ', 'Basic YTpi', `Bearer ${'x'.repeat(5000)}`, 'Bearer \u00e4'),
    oddValue,
  ),
  'x-api-key': oddValue,
  cookie: oddValue,
  'accept-encoding': fc.oneof(fc.constantFrom('gzip', 'identity;q=0', 'br, *;q=0'), oddValue),
  'x-forwarded-for': fc.oneof(fc.constantFrom('::1', '1.2.3.4, 5.6.7.8', 'unknown', '999.1.1.1'), oddValue),
  'x-http-method-override': fc.constantFrom('DELETE', 'GET', 'x'),
  'user-agent': oddValue,
};

/** Headers that may rightly change what becomes of a request. */
const disturbers: Readonly<Record<string, Arbitrary<string>>> = {
  'content-type': fc.oneof(
    fc.constantFrom(
      'application/json',
      'application/json; charset=utf-16',
      'application/json; charset="',
      'APPLICATION/JSON;;',
      'text/plain',
    ),
    fc.constantFrom(
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/merge-patch+json',
      'json',
      '/',
      'a/b/c',
    ),
    oddValue,
  ),
  'content-encoding': fc.oneof(fc.constantFrom('gzip', 'deflate', 'br', 'identity', 'gzip, gzip', 'zstd'), oddValue),
  prefer: fc.oneof(
    fc.constantFrom('respond-async', 'respond-async, wait=10', 'wait=0', 'return=minimal', 'respond-async="'),
    oddValue,
  ),
  'idempotency-key': fc.oneof(fc.constantFrom('a', 'b', '', 'x'.repeat(255), 'x'.repeat(256), 'a b', '\u00e4'), oddValue),
  'last-event-id': fc.oneof(fc.constantFrom('0', '1', '99999999999999999999', '-1', 'x'), oddValue),
  host: fc.constantFrom(
    'evil.example',
    'localhost',
    '127.0.0.1:1',
    '[::1]',
    'localhost.',
    '',
    ':',
    'a b',
    '[',
    'localhost:x',
    '127.0.0.1@evil.example',
  ),
  origin: fc.constantFrom('https://evil.example', 'null', 'http://localhost', '', 'file://'),
  expect: fc.constantFrom('100-continue', '200-ok', ''),
  range: fc.constantFrom('bytes=0-0', 'bytes=99999999-', 'bytes=-1', 'bytes=5-1', 'bytes=0-0,2-3', 'lines=1', 'bytes='),
  'if-none-match': fc.constantFrom('*', '"x"', 'W/"', ''),
  'if-match': fc.constantFrom('"x"', '*', ''),
  'if-modified-since': fc.constantFrom('Thu, 01 Jan 2037 00:00:00 GMT', 'x', ''),
  'if-unmodified-since': fc.constantFrom('Thu, 01 Jan 1970 00:00:00 GMT', 'x'),
  'if-range': fc.constantFrom('"x"', 'Thu, 01 Jan 1970 00:00:00 GMT', 'x'),
  'access-control-request-method': fc.constantFrom('POST', 'x'),
};

export interface DrawnHeaders {
  headers: Headers;
  /** Nothing in them may change what becomes of the request. */
  calm: boolean;
}

const none: Arbitrary<Headers> = fc.constant({});
const few = (group: typeof bystanders): Arbitrary<Headers> => {
  const one = fc
    .constantFrom(...Object.keys(group))
    .chain((name) => (group[name] ?? fc.constant('')).map((value) => [name, value] as const));
  return fc
    .uniqueArray(one, { minLength: 1, maxLength: 2, selector: ([name]) => name })
    .map((entries) => Object.fromEntries(entries));
};

export const headers: Arbitrary<DrawnHeaders> = drawnHeaders(5);

/** One request in so many has headers of the disturbing kind, beside the rest. */
export function drawnHeaders(calm: number): Arbitrary<DrawnHeaders> {
  return fc
    .tuple(
      fc.oneof({ weight: 3, arbitrary: none }, { weight: 2, arbitrary: few(bystanders) }),
      fc.oneof({ weight: calm, arbitrary: none }, { weight: 1, arbitrary: few(disturbers) }),
    )
    .map(([bystander, disturber]) => ({ headers: { ...bystander, ...disturber }, calm: Object.keys(disturber).length === 0 }));
}

/** Bodies under a content coding, sound or not: the last unpacks to far more than a body may have. */
export const packed: Arbitrary<{ encoding: string; body: Buffer }> = fc.constantFrom(
  { encoding: 'gzip', body: gzipSync('{"steps":1}') },
  { encoding: 'gzip', body: gzipSync('{"steps":1}').subarray(0, 15) },
  { encoding: 'gzip', body: Buffer.from('{"steps":1}') },
  { encoding: 'deflate', body: Buffer.from('{"steps":1}') },
  { encoding: 'br', body: Buffer.from([0xff, 0xff, 0xff]) },
  { encoding: 'gzip', body: gzipSync(Buffer.alloc(8_000_000, 0x20)) },
);
