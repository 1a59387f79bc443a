import { field, file, formOf, formType } from '../fixtures/forms.js';
import { RawClient } from '../fixtures/raw-client.js';
import { Client, firstOf, fixture, small } from './client.js';
import { Jobs } from './jobs.js';
import { Server } from './server.js';
import { asResponse, expectError, type Expected } from './whole-error.js';

/* What is no whole HTTP request has the one shape of errors too, from a parser that knows of no routes. */

const get = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\n';
const post = 'POST /text-to-image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`;

describe('what is no whole request', () => {
  let server: Server;
  let client: Client;
  let raw: RawClient;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  beforeEach(async () => (raw = await RawClient.connect(server.port)));
  afterEach(() => raw.close());
  afterAll(async () => {
    expect(server.log.filter(({ level }) => level === 'error')).toEqual([]);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** The next answer is this error, then the connection ends, and the log has it under its id. */
  async function expectFault(status: number, code: string, expected: Expected): Promise<void> {
    const answer = await raw.answer();
    await expectError(asResponse(answer), code, { ...expected, status });
    expect(answer.headers['connection']).toBe('close');
    expect(await raw.rest()).toBe('');
    const { requestId } = await server.logged(new RegExp(` ${status}\\b`), logged);
    expect(requestId).toBe(answer.headers['x-request-id']);
  }
  let logged: number;
  beforeEach(() => (logged = server.log.length));

  const overflow = 'the request line and the headers have more than 16384 bytes';
  /** What follows is the parser's own word, which differs between versions of Node. */
  const notHttp = /^not HTTP\/1\.1: \w+ /;
  it.each<[string, string, number, string | RegExp]>([
    ['no method', 'HELLO\r\n\r\n', 400, notHttp],
    ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, notHttp],
    ['a version that is none', 'GET / HTTP/9.9\r\n\r\n', 400, /^not HTTP\/1\.1: .*version/],
    ['a header with a NUL', `${get}X: \0\r\n\r\n`, 400, /^not HTTP\/1\.1: .*header/],
    ['a header without a colon', `${get}no colon\r\n\r\n`, 400, /^not HTTP\/1\.1: .*header/],
    ['a length below 0', `${post}Content-Length: -1\r\n\r\n`, 400, /^not HTTP\/1\.1: .*Content-Length/],
    ['two lengths', `${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400, /^not HTTP\/1\.1: .*Content-Length/],
    [
      'a length and chunks',
      `${post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
      /^not HTTP\/1\.1: .*Content-Length/,
    ],
    ['a chunk without a size', `${chunked}zz\r\n`, 400, /^not HTTP\/1\.1: .*chunk size/],
    ['too many headers', `${get}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, overflow],
    ['too long a path', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431, overflow],
  ])('%s', async (_name, bytes, status, message) => {
    await raw.send(Buffer.from(bytes, 'latin1'));
    await expectFault(status, 'INVALID_ARGUMENT', { message });
  });

  it('too many extensions of a chunk', async () => {
    await raw.send(`${chunked}1;${'x'.repeat(20_000)}\r\n`);
    await expectFault(413, 'PAYLOAD_TOO_LARGE', { message: 'the extensions of a chunk of the body have too many bytes' });
  });

  it('half of one, whose client says that there is no more', async () => {
    await raw.send(get);
    raw.end();
    await expectFault(400, 'INVALID_ARGUMENT', { message: 'the connection ended in the middle of the request' });
  });

  it('half of an upload, under the id that its request brought', async () => {
    const form = formOf([file('image', fixture('quadrants.png')), field('prompt', 'x')]);
    const id = '11111111-2222-4333-8444-555555555555';
    await raw.ask('POST', '/image-to-image', { 'Content-Type': formType, 'Content-Length': form.length, 'X-Request-Id': id });
    await raw.send(form.subarray(0, 300));
    raw.end();
    await expectFault(400, 'INVALID_ARGUMENT', { message: 'the connection ended in the middle of the request' });
    const record = await server.logged(/^POST \/image-to-image/, logged);
    expect(record).toMatchObject({ status: 499, aborted: true, requestId: id });
  });

  it('a body that breaks off, in the log and the counts as it was told', async () => {
    await raw.send(`${chunked}1\r\n{\r\nzz\r\n`);
    await expectFault(400, 'INVALID_ARGUMENT', { message: notHttp });
    expect(await server.logged(/^POST \/text-to-image/, logged)).toMatchObject({ status: 400, aborted: true });
    const text = await (await client.get('/metrics')).text();
    expect(text).toMatch(/^qwen_image_http_requests_total\{route="\/text-to-image",method="POST",status="400"\} [1-9]/m);
    expect(text).toMatch(/^qwen_image_requests_rejected_total\{reason="INVALID_ARGUMENT"\} [1-9]/m);
  });

  it('a request without a Host', async () => {
    await raw.send('GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n');
    const message = 'is required in HTTP/1.1';
    await expectFault(400, 'INVALID_ARGUMENT', { message: `Host ${message}`, details: [{ field: 'Host', message }] });
  });

  it('an expectation that nobody can meet', async () => {
    await raw.send(`${get}Expect: a miracle\r\nConnection: close\r\n\r\n`);
    const message = 'must be 100-continue, got "a miracle"';
    await expectFault(417, 'INVALID_ARGUMENT', { message: `Expect ${message}`, details: [{ field: 'Expect', message }] });
  });

  it('what comes behind a request that has its answer', async () => {
    await raw.send(`${get}\r\n`);
    expect((await raw.answer()).status).toBe(200);
    await raw.send('HELLO\r\n\r\n');
    await expectFault(400, 'INVALID_ARGUMENT', { message: notHttp });
  });

  it('is not answered into the middle of another answer', async () => {
    const jobs = new Jobs(server);
    const { id } = await jobs.submit({ ...small, width: 256, height: 256, num_inference_steps: 200 });
    await raw.ask('GET', `/jobs/${id}/events`);
    expect((await raw.answer()).headers['content-type']).toBe('text/event-stream');
    await raw.send('HELLO\r\n\r\n');
    expect(await raw.rest()).not.toMatch(/HTTP|error/);
    await jobs.cancel(id);
  });

  it('is answered by a server that draws', async () => {
    expect(firstOf(await client.draw(small))).toMatchObject({ width: small.width, height: small.height });
  });
});
