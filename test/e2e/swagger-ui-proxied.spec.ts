import { PrefixProxy } from './prefix-proxy.js';
import { Server } from './server.js';
import { SwaggerPage } from './swagger-page.js';

/** A page of many operations is slow where browser and engine share two processors. */
const slowMs = 240_000;

describe('Swagger UI of a server with server.publicUrl', () => {
  jest.setTimeout(slowMs);
  let proxy: PrefixProxy;
  let server: Server;
  beforeAll(async () => {
    proxy = await PrefixProxy.open('/v2');
    server = await Server.ready('--set', `server.publicUrl=${proxy.url}`);
    proxy.target = server.url;
  });
  afterAll(async () => {
    proxy.close();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it('asks by the path that its proxy takes away, without a complaint', async () => {
    const page = await SwaggerPage.open(proxy.url);
    expect((await page.execute('info-getInfo')).status).toBe(200);
    expect((await page.execute('admin-putLogLevel')).status).toBe(200);
    expect((await page.execute('images-textToImage')).status).toBe(200);
    expect(page.complaints).toEqual([]);
    await page.close();
  });

  it('asks the server itself where the page came from it and that is chosen', async () => {
    const page = await SwaggerPage.open(server.url);
    await page.chooseServer('/');
    expect((await page.execute('info-getInfo')).status).toBe(200);
    expect((await page.execute('admin-putLogLevel')).status).toBe(200);
    expect(page.complaints).toEqual([]);
    await page.close();
  });
});
