import { Logger } from '@nestjs/common';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createConnection, type AddressInfo } from 'node:net';
import { RawClient } from '../../../../test/fixtures/raw-client.js';
import { answerHttpFaults } from './http-faults.js';

const begin = 'POST / HTTP/1.1\r\nHost: localhost\r\n';

describe(answerHttpFaults.name, () => {
  beforeAll(() => void Logger.overrideLogger(false));

  let server: Server;
  let client: RawClient;
  afterEach(async () => {
    client.close();
    server.close();
    await once(server, 'close');
  });

  async function connect(handle: RequestListener, options: ServerOptions = {}): Promise<void> {
    server = createServer(options, handle);
    answerHttpFaults(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = await RawClient.connect((server.address() as AddressInfo).port);
  }

  const silent: RequestListener = () => {};
  const impatient = { connectionsCheckingInterval: 10, headersTimeout: 50, requestTimeout: 100 };
  /** Headers that are on their way have all the time they may need. */
  const impatientForBodies = { ...impatient, headersTimeout: 1000, requestTimeout: 1000 };

  it.each([
    ['never begins', '', impatient],
    ['stops in its headers', begin, impatient],
    ['stops in its body', `${begin}Content-Length: 10\r\n\r\nhalf`, impatientForBodies],
  ])('answers 408 to a request that %s', async (_name, said, options) => {
    await connect((_request, response) => void response.setHeader('X-Request-Id', 'known'), options);
    if (said !== '') await client.send(said);
    const { status, headers, text } = await client.answer();
    const requestId = said.endsWith('half') ? 'known' : expect.stringMatching(/^[\da-f-]{36}$/);
    expect(status).toBe(408);
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'x-should-retry': 'false',
      'x-request-id': requestId,
      connection: 'close',
    });
    expect(JSON.parse(text)).toEqual({
      error: {
        code: 'INVALID_ARGUMENT',
        type: 'invalid_request_error',
        message: 'the request did not come whole in time',
        param: null,
        request_id: headers['x-request-id'],
      },
    });
    expect(await client.rest()).toBe('');
  });

  it('adds nothing to an answer that has begun', async () => {
    await connect((_request, response) => {
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('begun');
    });
    await client.send(`${begin}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n`);
    expect(await once(server, 'request')).toHaveLength(2);
    await client.send('no size\r\n');
    expect(await client.rest()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^{}]*\r\n\r\nbegun$/);
  });

  it.each(['end', 'nonsense'])('adds nothing to an answer that came before its request was whole (%s)', async (what) => {
    await connect((_request, response) => void response.end('early'));
    await client.send(`${begin}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n`);
    expect(await client.answer()).toMatchObject({ status: 200 });
    if (what === 'end') client.end();
    else await client.send('no size\r\n');
    expect(await client.rest()).not.toContain('HTTP');
  });

  it('lets no late answer follow its own', async () => {
    await connect(silent);
    server.once('request', (_request, response) => setImmediate(() => response.end('late')));
    await client.send(`${begin}Content-Length: 0\r\n\r\nno method / HTTP/1.1\r\n\r\n`);
    const said = await client.rest();
    expect(said.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
    expect(said).not.toContain('late');
  });

  it('closes a connection whose client has its answer and goes on sending', async () => {
    await connect(silent);
    const { port } = server.address() as AddressInfo;
    const stubborn = createConnection({ port, allowHalfOpen: true }).on('error', () => {});
    const said: Buffer[] = [];
    stubborn.on('data', (bytes: Buffer) => said.push(bytes));
    const sending = setInterval(() => stubborn.write('nonsense\r\n\r\n'), 20);
    await new Promise((resolve) => stubborn.once('close', resolve));
    clearInterval(sending);
    expect(Buffer.concat(said).toString()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^{}]*\r\n\r\n\{"error":\{[^{}]*\}\}$/);
  });

  it('says nothing to a client that has gone', async () => {
    await connect(silent);
    const failed = once(server, 'clientError');
    await client.send(`${begin}Content-Length: 10\r\n\r\nhalf`);
    await once(server, 'request');
    client.leave();
    const [error, socket] = (await failed) as [NodeJS.ErrnoException, { destroyed: boolean; bytesWritten: number }];
    expect([error.code, socket.destroyed, socket.bytesWritten]).toEqual(['ECONNRESET', true, 0]);
  });
});
