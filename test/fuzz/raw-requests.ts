import fc, { type Arbitrary } from 'fast-check';

/** Bytes for a socket that no HTTP client would write. */
export class RawRequest {
  constructor(readonly bytes: Buffer) {}

  [fc.toStringMethod](): string {
    const text = this.bytes.toString('latin1');
    return `\nbytes (as Latin-1): ${JSON.stringify(text.length > 3000 ? `${text.slice(0, 3000)}… (${text.length} bytes)` : text)}`;
  }
}

const get = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n';
const post = 'POST /text-to-image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const body = '{"steps":1}';

const known: readonly string[] = [
  '',
  '\r\n\r\n\r\n',
  'GET /\r\n\r\n',
  'GET / HTTP/9.9\r\n\r\n',
  'GET /health/live HTTP/1.0\r\n\r\n',
  'GET /health/live HTTP/1.1\r\n\r\n',
  'get /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n',
  'GET /health /live HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /\u00e4 HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /health/live HTTP/1.1\nHost: localhost\n\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n',
  `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
  `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  `GET /health/live HTTP/1.1\r\nHost: localhost\r\n${'X: 1\r\n'.repeat(2500)}\r\n`,
  'CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  'GET /health/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  `${post}Content-Length: -1\r\n\r\n${body}`,
  `${post}Content-Length: 11\r\nContent-Length: 12\r\n\r\n${body}`,
  `${post}Content-Length: 99999999999999999999\r\n\r\n${body}`,
  `${post}Content-Length: 0x0b\r\n\r\n${body}`,
  `${post}Content-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n${body}\r\n0\r\n\r\n`,
  `${post}Transfer-Encoding: chunked, identity\r\n\r\nb\r\n${body}\r\n0\r\n\r\n`,
  `${post}Transfer-Encoding: gzip\r\n\r\n${body}`,
  `${post}Transfer-Encoding: chunked\r\n\r\nb\r\n${body}\r\n0\r\n\r\n`,
  `${post}Transfer-Encoding: chunked\r\n\r\nb;x=${'y'.repeat(20_000)}\r\n${body}\r\n0\r\n\r\n`,
  `${post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n${body}`,
  `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}`,
  `${post}Transfer-Encoding: chunked\r\n\r\nb\r\n${body}\r\n0\r\nTrailer: \0\r\n\r\n`,
  `${post}Expect: 100-continue\r\nContent-Length: 11\r\n\r\n${body}`,
  `${post}Content-Length: 11\r\n\r\n${body.slice(0, 5)}`,
];

const token: Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    get,
    `${post}Content-Length: 11\r\n\r\n${body}`,
    post,
    '\r\n',
    '\0',
    ' ',
    'HTTP/1.1',
    'Content-Length: 5\r\n',
    'GET ',
  ),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  fc.constantFrom(...known),
);

/** Malformed, ambiguous or pipelined: one after another on one connection. */
export const rawRequests: Arbitrary<RawRequest> = fc
  .oneof(
    fc.constantFrom(...known),
    fc.constantFrom(...known).map((text) => get + get + text),
    fc.array(token, { minLength: 1, maxLength: 6 }).map((texts) => texts.join('')),
  )
  .map((text) => new RawRequest(Buffer.from(text, 'latin1')));
