import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { field, file, formOf, formType } from '../../../../test/fixtures/forms.js';
import { RawClient } from '../../../../test/fixtures/raw-client.js';
import { plainResult } from '../../../../test/fixtures/scripted-engine.js';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';
import { UploadBudget } from './upload-budget.js';

const picture = readFileSync(join(__dirname, '../../../../test/fixtures/quadrants.png'));
/** Bytes behind its end do a PNG no harm. */
const padded = (bytes: number) => Buffer.concat([picture, Buffer.alloc(bytes - picture.length)]);
const upload = (bytes: number) => formOf([file('image', padded(bytes)), field('prompt', 'a red circle')]);
const small = upload(1000);
const large = upload(1_000_000);

describe('uploads in flight', () => {
  let api: TestApi;
  let port: number;
  const clients: RawClient[] = [];
  beforeEach(async () => {
    api = await startTestApi('limits.maxUploadBytes=1000000', 'limits.uploadBytesInFlight=2500000');
    port = (api.app.getHttpServer().address() as AddressInfo).port;
  });
  afterEach(async () => {
    clients.splice(0).forEach((client) => client.close());
    await api.app.close();
  });

  async function connect(): Promise<RawClient> {
    const client = await RawClient.connect(port);
    clients.push(client);
    return client;
  }

  async function begin(length: number | 'chunked'): Promise<RawClient> {
    const client = await connect();
    const framing: Record<string, string> =
      length === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(length) };
    await client.ask('POST', '/image-to-image', { 'Content-Type': formType, ...framing });
    return client;
  }

  async function post(body: Buffer): Promise<RawClient> {
    const client = await begin(body.length);
    await client.send(body);
    return client;
  }

  /** Fills the budget but for half a megabyte: two uploads hold a megabyte each and lack their ends, until `release`. */
  async function fill(): Promise<{ holders: RawClient[]; release: () => void }> {
    const holders = [await begin(large.length), await begin(large.length)];
    for (const holder of holders) await holder.send(large.subarray(0, -100));
    while (budget().held < 2 * large.length) await new Promise(setImmediate);
    return { holders, release: () => holders.forEach((holder) => void holder.send(large.subarray(-100))) };
  }

  const budget = () => api.app.get(UploadBudget);

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const line = text.split('\n').find((one) => one.startsWith(`${name} `));
    return Number(line?.split(' ')[1] ?? 0);
  }

  const refused = (reason: string) => metric(`qwen_image_requests_rejected_total{reason="${reason}"}`);
  const errorOf = (text: string) => (JSON.parse(text) as { error: { code: string; message: string } }).error;
  const chunk = (bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);

  /** All of the budget is there again: two of the largest go through at once. */
  async function expectAllBack(): Promise<void> {
    const { holders, release } = await fill();
    release();
    for (const holder of holders) expect((await holder.answer()).status).toBe(200);
  }

  it('hold JSON bodies too, from what a connection costs anyway', async () => {
    const { release } = await fill();
    const ask = async (headers: Record<string, string>) => {
      const client = await connect();
      await client.ask('POST', '/text-to-image', { 'Content-Type': 'application/json', ...headers });
      return client;
    };
    for (const headers of [
      { 'Content-Length': '600000' },
      { 'Transfer-Encoding': 'chunked' },
      { 'Content-Length': '900', 'Content-Encoding': 'gzip' },
    ]) {
      const { status, text } = await (await ask(headers)).answer();
      expect([status, errorOf(text).code]).toEqual([429, 'QUEUE_FULL']);
    }
    const body = JSON.stringify({ prompt: 'x'.repeat(30_000), num_inference_steps: 0 });
    const client = await ask({ 'Content-Length': String(body.length) });
    await client.send(Buffer.from(body));
    expect((await client.answer()).status).toBe(400);
    release();
  });

  it('refuse one more by its length, before anything of it has come, and let it in when there is room', async () => {
    const { holders, release } = await fill();
    const late = await begin(large.length);
    const answer = await late.answer();
    expect(answer).toMatchObject({ status: 429, headers: { 'retry-after': expect.stringMatching(/^[1-9]\d*$/) } });
    expect(answer.headers).not.toHaveProperty('x-should-retry');
    expect(errorOf(answer.text)).toMatchObject({ code: 'QUEUE_FULL', message: expect.stringContaining('2500000') });
    expect(await refused('QUEUE_FULL')).toBe(1);

    // What fits is not kept out, and the connection is none the worse for it.
    const fits = await post(small);
    await late.send(large);
    await late.ask('GET', '/health');
    expect((await late.answer()).status).toBe(200);
    release();
    for (const client of [...holders, fits]) expect((await client.answer()).status).toBe(200);
    await expectAllBack();
  });

  it('tell a client that sends on and only then reads, and leave it its connection', async () => {
    const { release } = await fill();
    const client = await begin(large.length);
    for (let at = 0; at < large.length; at += 65_536) await client.send(large.subarray(at, at + 65_536));
    expect((await client.answer()).status).toBe(429);
    release();
    await client.ask('GET', '/health');
    expect(await client.answer()).toMatchObject({ status: 200 });
    expect(client.fault).toBeNull();
  });

  it.each(['the files and the fields of a form', 'the whole budget'])('refuse a length that is above %s', async (what) => {
    if (what !== 'the whole budget') {
      await api.app.close();
      api = await startTestApi('limits.maxUploadBytes=1000000');
      port = (api.app.getHttpServer().address() as AddressInfo).port;
    }
    const max = what === 'the whole budget' ? 2_500_000 : 2 * 1_000_000 + 1024 * 1024;
    const client = await begin(max + 1);
    const answer = await client.answer();
    expect(answer).toMatchObject({ status: 413, headers: { 'x-should-retry': 'false' } });
    expect(errorOf(answer.text)).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', message: expect.stringContaining(String(max)) });
    // It is sent all the same.
    await client.send(Buffer.alloc(max + 1));
    await client.ask('GET', '/health');
    expect((await client.answer()).status).toBe(200);
    expect((await (await post(upload(1_000_000))).answer()).status).toBe(200);
  });

  it('take a body without a length, by what has come of it', async () => {
    const { holders, release } = await fill();
    const client = await begin('chunked');
    for (const half of [small.subarray(0, 700), small.subarray(700)]) await client.send(chunk(half));
    await client.send('0\r\n\r\n');
    release();
    for (const one of [...holders, client]) expect((await one.answer()).status).toBe(200);
    await expectAllBack();
  });

  it('refuse a body without a length in its middle, when there is no room for the rest', async () => {
    const { holders, release } = await fill();
    const client = await begin('chunked');
    await client.send(chunk(large.subarray(0, 300_000)));
    await client.send(chunk(large.subarray(300_000)));
    const answer = await client.answer();
    expect([answer.status, errorOf(answer.text).code]).toEqual([429, 'QUEUE_FULL']);
    await client.send('0\r\n\r\n');
    await client.ask('GET', '/health');
    expect((await client.answer()).status).toBe(200);
    release();
    for (const holder of holders) expect((await holder.answer()).status).toBe(200);
    await expectAllBack();
  });

  it('end a body without a length that does not end', async () => {
    const client = await begin('chunked');
    const answer = client.answer();
    const answered = new AbortController();
    void answer.then(() => answered.abort());
    await client.send(chunk(formOf([file('image', '')], { end: '' })));
    const piece = chunk(Buffer.alloc(100_000));
    for (let sent = 0; !answered.signal.aborted && sent < 100; sent++) await client.send(piece);
    const { status, text } = await answer;
    expect([status, errorOf(text).code]).toEqual([413, 'PAYLOAD_TOO_LARGE']);
    await expectAllBack();
  });

  it.each([large.length, 'chunked'] as const)(
    'get back what a client holds that goes away in mid-upload (%s)',
    async (length) => {
      for (let i = 1; i <= 10; i++) {
        const client = await begin(length);
        const half = large.subarray(0, 500_000);
        await client.send(length === 'chunked' ? chunk(half) : half);
        if (i % 2 === 0) client.leave();
        else client.close();
        while ((await refused('CANCELLED')) < i) await new Promise(setImmediate);
      }
      expect(await metric('qwen_image_jobs_accepted_total')).toBe(0);
      await expectAllBack();
    },
  );

  it('hold nothing once their jobs are stored, however long those wait', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    api.engine.answer = (_id, wanted) => gate.then(() => plainResult(wanted));
    const clients: RawClient[] = [];
    for (let i = 1; i <= 4; i++) {
      clients.push(await post(large));
      while ((await metric('qwen_image_jobs_accepted_total')) < i) await new Promise(setImmediate);
    }
    expect(budget().held).toBe(0);
    release();
    for (const client of clients) expect((await client.answer()).status).toBe(200);
  });

  it.each<[string, Buffer, number]>([
    ['wrong fields', formOf([file('image', padded(900_000)), field('nothing', 'x')]), 400],
    ['a broken form', large.subarray(0, 900_000), 400],
    ['a file that is too large', upload(1_000_001), 413],
    ['no picture', formOf([file('image', Buffer.alloc(900_000)), field('prompt', 'x')]), 415],
    [
      'a broken picture',
      formOf([file('image', Buffer.concat([picture.subarray(0, 60), Buffer.alloc(900_000)])), field('prompt', 'x')]),
      422,
    ],
  ])('get back what a request with %s held', async (_name, body, status) => {
    for (let i = 0; i < 5; i++) expect((await (await post(body)).answer()).status).toBe(status);
    await expectAllBack();
  });
});
