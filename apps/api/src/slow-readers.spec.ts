import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { cutOffSlowReaders, patienceMs } from './slow-readers.js';

const pieces = 200;
const piece = Buffer.alloc(100_000);

describe(cutOffSlowReaders.name, () => {
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
    cutOffSlowReaders(server, patience);
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

  it('lets a slow reader come to its end, though that takes many times as long', async () => {
    await ask(200);
    const started = performance.now();
    void writeAll();
    let received = 0;
    reader.on('data', (chunk: Buffer) => {
      received += chunk.length;
      reader.pause();
      setTimeout(() => reader.resume(), 5);
    });
    reader.resume();
    await once(response, 'finish');
    expect(performance.now() - started).toBeGreaterThan(600);
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
