import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { field, file, formOf, formType } from '../../../../test/fixtures/forms.js';
import { RawClient } from '../../../../test/fixtures/raw-client.js';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';
import { admitExpectations } from './odd-requests.js';

type Headers = Record<string, string | number>;

const keys = ['alice', 'bob'].map((name) => ({ name, sha256: createHash('sha256').update(name).digest('hex') }));
const json = Buffer.from(JSON.stringify({ prompt: 'x', width: 64, height: 64, num_inference_steps: 4 }));
const picture = readFileSync(join(__dirname, '../../../../test/fixtures/quadrants.png'));
const form = formOf([file('image', picture), field('prompt', 'x')]);

const key: Headers = { 'X-API-Key': 'alice', Expect: '100-continue' };
const asJson: Headers = { ...key, 'Content-Type': 'application/json', 'Content-Length': json.length };
const asForm: Headers = { ...key, 'Content-Type': formType, 'Content-Length': form.length };

describe(admitExpectations.name, () => {
  let api: TestApi;
  let client: RawClient;
  beforeEach(async () => {
    const limits = ['limits.maxUploadBytes=100000', 'limits.uploadBytesInFlight=100000'];
    api = await startTestApi(`auth.keys=${JSON.stringify(keys)}`, 'rateLimit.limit=2', ...limits);
    client = await connect();
  });
  afterEach(async () => {
    client.close();
    await api.app.close();
  });

  function connect(): Promise<RawClient> {
    return RawClient.connect((api.app.getHttpServer().address() as AddressInfo).port);
  }

  it.each([
    ['/text-to-image', asJson, json],
    ['/image-to-image', asForm, form],
  ])('asks for the body that %s reads, and keeps the connection', async (path, headers, body) => {
    for (let turn = 0; turn < 2; turn++) {
      await client.ask('POST', path, headers);
      expect(await client.answer()).toEqual({ status: 100, headers: {}, text: '' });
      await client.send(body);
      expect(await client.answer()).toMatchObject({ status: 200, headers: { connection: 'keep-alive' } });
    }
  });

  it.each<[number, string, string, Headers]>([
    [401, 'no key', '/text-to-image', { ...asJson, 'X-API-Key': '' }],
    [401, 'an unknown key', '/image-to-image', { ...asForm, 'X-API-Key': 'carol' }],
    [403, 'a key without the scope', '/admin/model/load', asJson],
    [404, 'a path that is none', '/nowhere', asJson],
    [405, 'a method that the route has not', '/info', asJson],
    [413, 'too long JSON', '/text-to-image', { ...asJson, 'Content-Length': 1024 * 1024 + 1 }],
    [413, 'too long a form', '/image-to-image', { ...asForm, 'Content-Length': 100_001 }],
    [415, 'another type than JSON', '/text-to-image', { ...asJson, 'Content-Type': 'text/plain' }],
    [415, 'a charset that nobody knows', '/text-to-image', { ...asJson, 'Content-Type': 'application/json; charset=x' }],
    [415, 'another type than a form', '/image-to-image', { ...asForm, 'Content-Type': 'text/plain' }],
    [400, 'a form without a boundary', '/image-to-image', { ...asForm, 'Content-Type': 'multipart/form-data' }],
  ])('answers %i to %s without a look at the body, and ends the connection', async (status, _what, path, headers) => {
    await client.ask('POST', path, headers);
    expect(await client.answer()).toMatchObject({ status, headers: { connection: 'close' } });
    expect(await client.rest()).toBe('');
  });

  it('answers 429 to one request too many, whatever its client still means to send', async () => {
    for (const expected of [100, 100, 429]) {
      const next = await connect();
      await next.ask('POST', '/text-to-image', asJson);
      expect((await next.answer()).status).toBe(expected);
      next.close();
    }
  });

  it('answers 429 to an upload for which there is no room', async () => {
    const holder = await connect();
    await holder.ask('POST', '/image-to-image', { ...asForm, 'Content-Length': 90_000 });
    expect((await holder.answer()).status).toBe(100);
    await client.ask('POST', '/image-to-image', { ...asForm, 'Content-Length': 90_000 });
    expect(await client.answer()).toMatchObject({ status: 429, headers: { 'retry-after': expect.any(String) } });
    holder.close();
  });

  it('answers 503 while nothing can be drawn', async () => {
    api.engine.become({ state: 'loading', retryAfterS: 3 });
    await client.ask('POST', '/text-to-image', asJson);
    expect((await client.answer()).status).toBe(503);
  });

  it('asks for a body in its turn, behind the answers to what was sent before', async () => {
    const head = Object.entries({ Host: '127.0.0.1', ...asJson }).map(([name, value]) => `${name}: ${value}`);
    const first = 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    await client.send(`${first}${['POST /text-to-image HTTP/1.1', ...head, '', ''].join('\r\n')}`);
    expect(await client.answer()).toMatchObject({ status: 200, text: expect.stringContaining('"status":"ok"') });
    expect((await client.answer()).status).toBe(100);
    await client.send(json);
    expect(await client.answer()).toMatchObject({ status: 200, headers: { 'content-type': expect.stringMatching('json') } });
  });

  it('serves a client that does not wait', async () => {
    await client.ask('POST', '/text-to-image', asJson);
    await client.send(json);
    expect((await client.answer()).status).toBe(100);
    expect((await client.answer()).status).toBe(200);
  });

  it('lets a client that does not wait read why it is refused', async () => {
    const long = Buffer.alloc(5_000_000);
    await client.ask('POST', '/image-to-image', { ...asForm, 'X-API-Key': '', 'Content-Length': long.length });
    void client.send(long);
    expect(await client.answer()).toMatchObject({ status: 401, text: expect.stringContaining('UNAUTHENTICATED') });
  });
});
