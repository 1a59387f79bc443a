import { answerOf, Client, errorOf, firstOf, small } from '../e2e/client.js';
import { Server } from '../e2e/server.js';

/* The engine host of a serving server dies in every way it can. */

const long = { ...small, width: 256, height: 256, num_inference_steps: 200 };

describe('a server whose engine host dies', () => {
  let server: Server;
  let client: Client;
  let asBefore: Buffer;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
    asBefore = firstOf(await client.draw(small)).data;
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it.each(['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const)('of %s in the middle of a job goes on', async (signal) => {
    const host = server.hostPid();
    const logged = server.log.length;
    const job = client.postJson(long);
    await client.queueIs({ running: 1 });
    const waiting = client.postJson(small);
    await client.queueIs({ running: 1, pending: 1 });
    process.kill(host, signal);

    const answer = await job;
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(answer.headers.get('x-should-retry')).toBeNull();
    expect(await errorOf(answer)).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });
    const health = await client.get('/health');
    expect([health.status, await health.json()]).toMatchObject([503, { status: 'restarting' }]);
    expect(health.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect((await client.get('/health/live')).status).toBe(200);
    expect((await client.get('/health/ready')).status).toBe(503);
    expect(await errorOf(await client.postJson(small))).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });

    await server.logged(/^model loaded/, logged);
    // The one that waited was not lost, and the new host draws what the old one drew.
    expect((await answerOf(await waiting)).images).toHaveLength(1);
    expect((await client.get('/health')).status).toBe(200);
    expect(server.hostPid()).not.toBe(host);
    expect(firstOf(await client.draw(small)).data.equals(asBefore)).toBe(true);
  });

  it('tells how often it happened', async () => {
    expect(await (await client.get('/health')).json()).toMatchObject({ status: 'ok', engine: { restarts: 3 } });
  });
});
