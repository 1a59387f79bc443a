import { Client, errorOf, small } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { readLedger } from '../e2e/ledger.js';
import { HostGate } from '../e2e/host-gate.js';
import { allEventsOf, eventsOf } from '../e2e/server-events.js';
import { Server } from '../e2e/server.js';

const long = { ...small, num_inference_steps: 60 };
const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };

describe('a cancelled job', () => {
  const gate = new HostGate();
  let server: Server;
  let client: Client;
  let jobs: Jobs;
  let asBefore: { small: Buffer; long: Buffer };
  beforeAll(async () => {
    server = new Server([], gate.variables);
    await server.logged(/^model loaded/);
    client = new Client(server);
    jobs = new Jobs(server);
    asBefore = { small: await client.file(small), long: await client.file(long) };
  });
  afterAll(async () => {
    gate.end();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const ends: readonly string[] = ['completed', 'failed', 'cancelled'];
  const lastEvents = async (id: string) =>
    (await allEventsOf(await jobs.events(id))).map(({ name }) => name).filter((name) => ends.includes(name));

  it('is the one that was meant, and not the one that runs', async () => {
    server.pauseHost();
    const [a, b, c] = [await jobs.submit(long), await jobs.submit(small), await jobs.submit(small)];
    await client.queueIs({ running: 1, pending: 2 });
    expect(await jobs.cancel(c.id)).toMatchObject({ status: 'cancelled', error: { code: 'CANCELLED' }, attempt: 0 });
    expect(await jobs.cancel(b.id)).toMatchObject({ status: 'cancelled', error: { code: 'CANCELLED' }, attempt: 0 });
    expect(await jobs.read(a.id)).toMatchObject({ status: 'running', attempt: 1 });
    server.resumeHost();
    expect((await jobs.picture(a.id)).equals(asBefore.long)).toBe(true);
    expect(await Promise.all([a, b, c].map(({ id }) => lastEvents(id)))).toEqual([['completed'], ['cancelled'], ['cancelled']]);
    // Once more changes nothing, neither for those nor for one that completed.
    for (const { id } of [a, b, c]) expect(await jobs.cancel(id)).toEqual(await jobs.read(id));
  });

  it('is one of many, whatever their order, and asked for twice at once', async () => {
    server.pauseHost();
    const first = await jobs.submit(long);
    const waiting: string[] = [];
    for (let i = 0; i < 12; i++) waiting.push((await jobs.submit({ ...small, seed: 1 + (i % 2) })).id);
    const doomed = waiting.filter((_, i) => i % 3 !== 0);
    const twice = [...doomed, ...doomed.reverse()];
    const answers = await Promise.all(twice.map((id) => jobs.cancel(id)));
    expect(answers.map(({ status }) => status)).toEqual(twice.map(() => 'cancelled'));
    server.resumeHost();
    expect((await jobs.picture(first.id)).equals(asBefore.long)).toBe(true);
    const statuses = await Promise.all(waiting.map(async (id) => (await jobs.ended(id)).status));
    expect(statuses).toEqual(waiting.map((_, i) => (i % 3 === 0 ? 'completed' : 'cancelled')));
    expect((await jobs.picture(waiting[0]!)).equals(asBefore.small)).toBe(true);
  });

  it('stops in mid-step, and the next one runs', async () => {
    const [a, b] = [await jobs.submit(endless), await jobs.submit(small)];
    await jobs.told(a.id, ({ name }) => name === 'progress');
    const cancelled = await jobs.cancel(a.id);
    expect(cancelled).toMatchObject({ status: 'cancelled', images: [], progress: null, attempt: 1 });
    expect((await jobs.picture(b.id)).equals(asBefore.small)).toBe(true);
    const image = await jobs.ask('GET', `/jobs/${a.id}/images/0`);
    expect(await errorOf(image)).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  });

  it('is cancelled or complete when it ends just then, and never something between', async () => {
    const steps = 12;
    const drawing = { ...small, num_inference_steps: steps };
    const whole = await client.file(drawing);
    const before = await readLedger(server.url);
    const statuses: string[] = [];
    for (let step = 0; step <= steps + 2; step++) {
      // The first one is cancelled for sure, however fast the engine is beside this test.
      if (step === 0) server.pauseHost();
      const [a, b] = [await jobs.submit(drawing), await jobs.submit(small)];
      // The last two: while it is decoded and stored.
      const isThere = ({ name, data }: { name: string; data: Record<string, unknown> }) =>
        name === 'completed' || (step === 0 ? name === 'started' : data.step === step) || data.stage === 'decode';
      await jobs.told(a.id, isThere);
      if (step > steps) await new Promise((resolve) => setTimeout(resolve, 5 * (step - steps)));
      const { status, images } = await jobs.cancel(a.id);
      statuses.push(status);
      server.resumeHost();
      expect(await jobs.read(a.id)).toMatchObject({ status, images });
      expect(await lastEvents(a.id)).toEqual([status]);
      if (status === 'completed') expect((await jobs.picture(a.id)).equals(whole)).toBe(true);
      else expect([status, images]).toEqual(['cancelled', []]);
      expect((await jobs.picture(b.id)).equals(asBefore.small)).toBe(true);
    }
    const { ended } = await readLedger(server.url);
    const count = (status: string) => statuses.filter((one) => one === status).length;
    expect(ended.cancelled - before.ended.cancelled).toBe(count('cancelled'));
    expect(ended.completed - before.ended.completed).toBe(count('completed') + statuses.length);
    expect(ended.failed).toBe(before.ended.failed);
    expect(count('cancelled')).toBeGreaterThan(0);
  });

  it('tells whoever waits for it or reads its events', async () => {
    const key = { 'idempotency-key': 'everybody waits' };
    const waits = [client.postJson(endless, key), client.postJson(endless, key)];
    const { id } = await jobs.submit(endless, key);
    const reads = jobs.events(id).then(allEventsOf);
    await jobs.told(id, ({ name }) => name === 'progress');
    await jobs.cancel(id);
    for (const answer of await Promise.all(waits)) {
      expect(answer.headers.get('x-should-retry')).toBe('false');
      expect(await errorOf(answer)).toMatchObject({ status: 499, code: 'CANCELLED' });
    }
    expect((await reads).at(-1)).toMatchObject({ name: 'cancelled', data: { id, status: 'cancelled' } });
  });

  it('does not come back with the next engine host', async () => {
    const [a, b] = [await jobs.submit(endless), await jobs.submit(small)];
    await jobs.told(a.id, ({ name }) => name === 'progress');
    const logged = server.log.length;
    gate.close();
    process.kill(server.hostPid(), 'SIGKILL');
    await server.logged(/^the engine is restarting/, logged);
    expect(await jobs.cancel(a.id)).toMatchObject({ status: 'cancelled', attempt: 1 });
    gate.open();
    expect((await jobs.picture(b.id)).equals(asBefore.small)).toBe(true);
    const names: string[] = [];
    for await (const { name } of eventsOf(await jobs.events(a.id))) names.push(name);
    expect(names.at(-1)).toBe('cancelled');
  });

  it('is nobody else: an id that is none cancels nothing', async () => {
    server.pauseHost();
    const { id } = await jobs.submit(long);
    await client.queueIs({ running: 1 });
    for (const wrong of [id.replace(/^./, (digit) => (digit === '0' ? '1' : '0')), `${id}x`, id.slice(0, -1), '%2e%2e', '*']) {
      const answer = await jobs.ask('DELETE', `/jobs/${wrong}`);
      expect(await errorOf(answer)).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    }
    expect((await jobs.ask('DELETE', '/jobs')).status).toBe(404);
    server.resumeHost();
    expect((await jobs.picture(id)).equals(asBefore.long)).toBe(true);
  });

  it('leaves a service that draws what it drew before', async () => {
    expect((await client.file(small)).equals(asBefore.small)).toBe(true);
    expect((await client.file(long)).equals(asBefore.long)).toBe(true);
  });
});
