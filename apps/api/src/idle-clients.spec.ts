import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawClient } from '../../../test/fixtures/raw-client.js';
import { answerHttpFaults } from './errors/http-faults.js';
import { cutOffIdleClients, patienceMs } from './idle-clients.js';

const pieces = 200;
const piece = Buffer.alloc(100_000);

describe(`${cutOffIdleClients.name}: of those that read`, () => {
  let server: Server;
  let reader: Socket;
  let response: ServerResponse;
  afterEach(() => {
    reader.destroy();
    server.closeAllConnections();
    server.close();
  });

  async function ask(patience: number): Promise<void> {
    server = createServer().listen(0, '127.0.0.1');
    cutOffIdleClients(server, patience);
    await once(server, 'listening');
    reader = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
    reader.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    [, response] = (await once(server, 'request')) as [unknown, ServerResponse];
  }

  async function writeAll(): Promise<void> {
    let goOn = () => {};
    for (const event of ['drain', 'close']) response.on(event, () => goOn());
    for (let i = 0; i < pieces && !response.destroyed; i++) {
      if (!response.write(piece)) await new Promise<void>((resolve) => (goOn = resolve));
    }
    response.end();
  }

  it.each([
    ['in the middle of its answer', () => void writeAll()],
    ['of which all is written', () => response.end(Buffer.alloc(pieces * piece.length))],
  ])('ends a connection whose client reads nothing, %s', async (_, write) => {
    await ask(200);
    write();
    await once(response, 'close');
    reader.resume();
    await once(reader, 'close');
    expect(reader.bytesRead).toBeLessThan(pieces * piece.length);
  });

  it('lets a slow reader come to its end, though that takes longer than patience', async () => {
    // TCP itself pauses for 200 ms and more when its reader had no room.
    const patience = 1000;
    await ask(patience);
    const started = performance.now();
    void writeAll();
    let received = 0;
    reader.on('data', (chunk: Buffer) => {
      received += chunk.length;
      reader.pause();
      setTimeout(() => reader.resume(), 10);
    });
    reader.resume();
    await Promise.race([once(response, 'finish'), once(response, 'close')]);
    expect(response.writableFinished).toBe(true);
    expect(performance.now() - started).toBeGreaterThan(patience);
    expect(received).toBeGreaterThan(1_000_000);
  });

  it('waits with a client for an answer that has not begun, or pauses', async () => {
    await ask(40);
    await sleep(200);
    reader.resume();
    response.write('begun');
    await sleep(200);
    response.end('ended');
    await once(response, 'close');
    expect(response.writableFinished).toBe(true);
  });

  it('has patience for a minute', () => {
    expect(patienceMs).toBe(60_000);
  });
});

describe(`${cutOffIdleClients.name}: of those that send`, () => {
  const begin = (bytes: number) => `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes}\r\n\r\n`;
  const patience = 200;
  let server: Server;
  let client: RawClient;
  let answerAfterMs: number;
  beforeEach(async () => {
    answerAfterMs = 0;
    server = createServer((request, response) => {
      request.resume().on('end', () => void sleep(answerAfterMs).then(() => response.end('whole')));
    });
    answerHttpFaults(server);
    cutOffIdleClients(server, patience);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = await RawClient.connect((server.address() as AddressInfo).port);
  });
  afterEach(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });

  it.each([
    ['its first', ''],
    ['a', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ])('answers 408 to one that stops in the body of %s request', async (_, before) => {
    if (before !== '') {
      await client.send(before);
      expect(await client.answer()).toMatchObject({ status: 200, text: 'whole' });
    }
    await client.send(`${begin(10)}half`);
    const { status, headers, text } = await client.answer();
    expect([status, headers['connection']]).toEqual([408, 'close']);
    expect(JSON.parse(text)).toMatchObject({ error: { message: 'the request did not come whole in time' } });
    expect(await client.rest()).toBe('');
  });

  it('lets a slow one come to its end, though that takes many times as long', async () => {
    await client.send(begin(20));
    for (let i = 0; i < 20; i++) {
      await client.send('x');
      await sleep(patience / 4);
    }
    expect(await client.answer()).toMatchObject({ status: 200, text: 'whole' });
  });

  it('lets one that has sent its request wait for the answer', async () => {
    answerAfterMs = 2 * patience;
    await client.send(`${begin(1)}x`);
    expect(await client.answer()).toMatchObject({ status: 200, text: 'whole' });
  });

  it('lets one wait between two requests', async () => {
    for (let i = 0; i < 2; i++) {
      await client.send(`${begin(1)}x`);
      expect(await client.answer()).toMatchObject({ status: 200 });
      await sleep(2 * patience);
    }
  });
});
