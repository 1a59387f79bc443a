import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { startTestApi } from '../../../test/fixtures/test-api.js';
import { HttpAdapter } from './http-adapter.js';

describe(HttpAdapter.name, () => {
  it('ends a wait for headers within seconds of its time', async () => {
    const { app } = await startTestApi();
    const server = app.getHttpServer();
    server.headersTimeout = 500;
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n');
    const begun = performance.now();
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 /);
    expect(performance.now() - begun).toBeLessThan(10_000);
    await app.close();
  });
});
