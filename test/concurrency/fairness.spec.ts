import { sentBy, withKeysOf } from '../e2e/api-keys.js';
import { Client, errorOf, small } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { eventually, Server } from '../e2e/server.js';

const long = { ...small, num_inference_steps: 200 };

describe('who comes when others wait', () => {
  let server: Server;
  let clients: Record<'alice' | 'bob' | 'carol', Client>;
  let logged = 0;
  beforeAll(async () => {
    server = await Server.ready(...withKeysOf('alice', 'bob', 'carol'), '--set', 'queue.maxPendingPerClient=50');
    const clientOf = (name: string) => new Client(server, sentBy(name));
    clients = { alice: clientOf('alice'), bob: clientOf('bob'), carol: clientOf('carol') };
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
  beforeEach(() => (logged = server.log.length));

  /** Whose requests ended, in order, by the server's own word: answers may be read in any order. */
  async function endsOf(count: number): Promise<unknown[]> {
    const ended = () => server.log.slice(logged).filter(({ message }) => message === 'job completed');
    await eventually(`${count} ends are logged`, () => ended().length === count);
    return ended().map(({ apiKey }) => apiKey);
  }

  async function sends(name: keyof typeof clients, fields: object = small): Promise<void> {
    const answer = await clients[name].postJson(fields);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }

  async function sendsMany(name: keyof typeof clients, count: number, pendingThen: number): Promise<Promise<void>[]> {
    const all = Array.from({ length: count }, () => sends(name));
    await clients.alice.queueIs({ running: 1, pending: pendingThen });
    return all;
  }

  it('is served before the rest of somebody’s fifty', async () => {
    server.pauseHost();
    const first = sends('alice', long);
    await clients.alice.queueIs({ running: 1, pending: 0 });
    const others = await sendsMany('alice', 49, 49);
    const bob = await sendsMany('bob', 1, 50);
    server.resumeHost();
    await Promise.all([first, ...others, ...bob]);
    expect(await endsOf(51)).toEqual(['alice', 'bob', ...Array<string>(49).fill('alice')]);
  });

  it('takes turns, however many each has and whoever came first', async () => {
    server.pauseHost();
    const first = sends('alice', long);
    await clients.alice.queueIs({ running: 1, pending: 0 });
    const alice = await sendsMany('alice', 4, 4);
    const bob = await sendsMany('bob', 3, 7);
    const carol = await sendsMany('carol', 2, 9);
    server.resumeHost();
    await Promise.all([first, ...alice, ...bob, ...carol]);
    expect(await endsOf(10)).toEqual(['alice', 'bob', 'carol', 'alice', 'bob', 'carol', 'alice', 'bob', 'alice', 'alice']);
  });

  it('is told its own place, not the number of those who came before', async () => {
    const jobs = { alice: new Jobs(server, sentBy('alice')), bob: new Jobs(server, sentBy('bob')) };
    server.pauseHost();
    const running = await jobs.alice.submit(long);
    await clients.alice.queueIs({ running: 1, pending: 0 });
    const waiting = [await jobs.alice.submit(small), await jobs.alice.submit(small)];
    expect(waiting.map(({ position }) => position)).toEqual([1, 2]);
    const late = await jobs.bob.submit(small);
    expect(late.position).toBe(1);
    const [second, third] = await Promise.all(waiting.map(({ id }) => jobs.alice.read(id)));
    expect([second?.position, third?.position]).toEqual([2, 3]);
    // A job is its owner's alone.
    expect((await jobs.bob.ask('DELETE', `/jobs/${running.id}`)).status).toBe(404);
    server.resumeHost();
    await jobs.alice.cancel(running.id);
    for (const { id } of waiting) expect(await jobs.alice.ended(id)).toMatchObject({ status: 'completed' });
    expect(await jobs.bob.ended(late.id)).toMatchObject({ status: 'completed' });
  });
});

describe('a client at its limit', () => {
  it('is refused, and nobody else', async () => {
    const server = await Server.ready(...withKeysOf('alice', 'bob'), '--set', 'queue.maxPendingPerClient=2');
    const [alice, bob] = [new Client(server, sentBy('alice')), new Client(server, sentBy('bob'))];
    server.pauseHost();
    const running = alice.postJson(long);
    await alice.queueIs({ running: 1 });
    const waiting = Promise.all([alice.postJson(small), alice.postJson(small)]);
    await alice.queueIs({ running: 1, pending: 2 });
    const refused = await alice.postJson(small);
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(refused.headers.get('x-should-retry')).toBeNull();
    expect(await errorOf(refused)).toMatchObject({
      status: 429,
      code: 'QUEUE_FULL',
      message: '2 requests of this client are waiting already, at most 2 may',
    });
    server.resumeHost();
    const others = await bob.postJson(small);
    expect([others, await running, ...(await waiting)].map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await alice.postJson(small)).status).toBe(200);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
});
