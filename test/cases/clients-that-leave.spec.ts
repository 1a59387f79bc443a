import { Client, fixture, small } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { endedOf, readLedger, type Ledger } from '../e2e/ledger.js';
import { eventually, Server } from '../e2e/server.js';
import { RawClient } from '../fixtures/raw-client.js';

/** Minutes of work, if it were drawn to its end. */
const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };
const long = { ...small, num_inference_steps: 60 };
const graceMs = 2000;

describe('work that nobody waits for', () => {
  let server: Server;
  let client: Client;
  let jobs: Jobs;
  let asBefore: { small: Buffer; long: Buffer };
  let before: Ledger;
  beforeAll(async () => {
    server = await Server.ready('--set', `jobs.disconnectGraceMs=${graceMs}`, '--set', 'limits.uploadBytesInFlight=30000000');
    client = new Client(server);
    jobs = new Jobs(server);
    asBefore = { small: await client.file(small), long: await client.file(long) };
  });
  beforeEach(async () => (before = await readLedger(server.url)));
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** What has been accepted and has ended since the test began, when nothing runs or waits any more. */
  async function whenIdle(): Promise<Pick<Ledger, 'accepted' | 'ended'>> {
    await client.queueIs({ running: 0, pending: 0 });
    const { accepted, ended } = await readLedger(server.url);
    return {
      accepted: accepted - before.accepted,
      ended: {
        completed: ended.completed - before.ended.completed,
        failed: ended.failed - before.ended.failed,
        cancelled: ended.cancelled - before.ended.cancelled,
      },
    };
  }

  const expectSmallAsBefore = async () => expect((await client.file(small)).equals(asBefore.small)).toBe(true);

  async function send(fields: object, headers: Readonly<Record<string, string>> = {}): Promise<RawClient> {
    const raw = await RawClient.connect(server.port);
    const body = JSON.stringify(fields);
    await raw.ask('POST', '/text-to-image', { 'Content-Type': 'application/json', 'Content-Length': body.length, ...headers });
    await raw.send(body);
    return raw;
  }

  it('stops, so that it does not hold up what comes after it', async () => {
    for (let i = 0; i < 5; i++) {
      const leave = new AbortController();
      const gone = client.postJson(endless, {}, leave.signal).catch(() => 'left');
      await client.queueIs({ running: 1 });
      await new Promise((resolve) => setTimeout(resolve, 200));
      leave.abort();
      expect(await gone).toBe('left');
    }
    await expectSmallAsBefore();
    expect(await whenIdle()).toEqual({ accepted: 6, ended: { completed: 1, failed: 0, cancelled: 5 } });
    for (let i = 0; i < 20; i++) await expectSmallAsBefore();
  });

  it('stops however the connection ends', async () => {
    for (const leave of ['close', 'leave'] as const) {
      const raw = await send(endless);
      await client.queueIs({ running: 1 });
      raw[leave]();
      await client.queueIs({ running: 0 });
    }
    expect(await whenIdle()).toMatchObject({ accepted: 2, ended: { cancelled: 2 } });
  });

  it('never begins when those who wait in line leave, and the others stay', async () => {
    server.pauseHost();
    const running = client.file(long);
    await client.queueIs({ running: 1 });
    const leaving = [await send(endless), await send(endless), await send(endless)];
    await client.queueIs({ running: 1, pending: 3 });
    const staying = client.file(small);
    await client.queueIs({ running: 1, pending: 4 });
    leaving.forEach((raw) => raw.leave());
    await client.queueIs({ running: 1, pending: 1 });
    server.resumeHost();
    expect((await running).equals(asBefore.long)).toBe(true);
    expect((await staying).equals(asBefore.small)).toBe(true);
    expect(await whenIdle()).toEqual({ accepted: 5, ended: { completed: 2, failed: 0, cancelled: 3 } });
  });

  it('stops for each of many that leave at once', async () => {
    const raws = [await send(endless)];
    await client.queueIs({ running: 1, pending: 0 });
    raws.push(...(await Promise.all(Array.from({ length: 39 }, () => send(long)))));
    await client.queueIs({ running: 1, pending: 39 });
    raws.forEach((raw) => raw.leave());
    await expectSmallAsBefore();
    expect(await whenIdle()).toEqual({ accepted: 41, ended: { completed: 1, failed: 0, cancelled: 40 } });
  });

  it('is none of a client that sends one request behind another and leaves', async () => {
    const raw = await send(endless);
    const body = JSON.stringify(endless);
    await raw.ask('POST', '/text-to-image', { 'Content-Type': 'application/json', 'Content-Length': body.length });
    await raw.send(body);
    await client.queueIs({ running: 1, pending: 1 });
    raw.leave();
    await expectSmallAsBefore();
    expect(await whenIdle()).toEqual({ accepted: 3, ended: { completed: 1, failed: 0, cancelled: 2 } });
  });

  it('is none of an upload that breaks off, and its bytes are free for the next', async () => {
    // Each says that it is going to send more than half of what may be in memory at one time.
    for (let i = 0; i < 6; i++) {
      const raw = await RawClient.connect(server.port);
      const type = 'multipart/form-data; boundary=cut';
      await raw.ask('POST', '/image-to-image', { 'Content-Type': type, 'Content-Length': 16_000_000 });
      await raw.send('--cut\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n');
      await raw.send(Buffer.alloc(200_000));
      raw[i % 2 === 0 ? 'leave' : 'close']();
    }
    const fields = { ...small, strength: 0.5 };
    await eventually('an upload is taken', async () => (await client.postForm(fields, fixture('quadrants.png'))).status === 200);
    expect(await whenIdle()).toEqual({ accepted: 1, ended: { completed: 1, failed: 0, cancelled: 0 } });
  });

  it('is none of a client that leaves in the middle of its answer', async () => {
    const raw = await send({ ...small, num_images: 4, width: 256, height: 256, num_inference_steps: 2 });
    await eventually('it has been drawn', async () => endedOf(await readLedger(server.url)) > endedOf(before));
    raw.leave();
    await expectSmallAsBefore();
    expect(await whenIdle()).toEqual({ accepted: 2, ended: { completed: 2, failed: 0, cancelled: 0 } });
  });

  it('goes on for a while when it can be asked for again, and for no longer', async () => {
    const key = { 'Idempotency-Key': 'left alone' };
    const gone = await send(endless, key);
    await client.queueIs({ running: 1 });
    const goneAt = performance.now();
    gone.leave();
    expect(await whenIdle()).toMatchObject({ accepted: 1, ended: { cancelled: 1 } });
    expect(performance.now() - goneAt).toBeGreaterThan(graceMs / 2);
    server.pauseHost();
    const left = await send(long, { 'Idempotency-Key': 'came back' });
    await client.queueIs({ running: 1 });
    server.resumeHost();
    left.leave();
    expect((await client.file(long, { 'idempotency-key': 'came back' })).equals(asBefore.long)).toBe(true);
    expect(await whenIdle()).toMatchObject({ accepted: 2, ended: { completed: 1, cancelled: 1 } });
  });

  it('goes on when only those leave who watch', async () => {
    server.pauseHost();
    const { id } = await jobs.submit(long);
    for (let i = 0; i < 3; i++) {
      const raw = await RawClient.connect(server.port);
      await raw.ask('GET', `/jobs/${id}/events`);
      await jobs.told(id, ({ name }) => name === 'started');
      raw.leave();
    }
    server.resumeHost();
    expect((await jobs.picture(id)).equals(asBefore.long)).toBe(true);
  });

  it('leaves a service that draws what it drew before', async () => {
    for (let i = 0; i < 20; i++) await expectSmallAsBefore();
    expect(await whenIdle()).toEqual({ accepted: 20, ended: { completed: 20, failed: 0, cancelled: 0 } });
  });
});
