import { Redis } from 'ioredis';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, Client, errorOf, small } from './client.js';
import { RedisServer } from './redis-server.js';
import { eventually, Server } from './server.js';

const wrong = { prompt: '' };

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

describe('API keys', () => {
  it('let in whom they belong to, and stand in the log by their names', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'qwen-keys-'));
    const keys = [{ name: 'alice', sha256: createHash('sha256').update('open-sesame').digest('hex') }];
    writeFileSync(join(folder, 'keys.json'), JSON.stringify(keys));
    const server = await Server.ready('--set', `auth.keys=${join(folder, 'keys.json')}`, '--host', '0.0.0.0');
    const client = new Client(server);
    expect(await errorOf(await client.postJson(small))).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    const headers = { authorization: 'Bearer open-sesame', 'x-request-id': 'of-alice' };
    expect((await answerOf(await client.postJson(small, headers))).images).toHaveLength(1);
    await server.logged(/^POST \/text-to-image 200/);
    const records = server.log.filter(({ requestId }) => requestId === 'of-alice');
    expect(records.map(({ apiKey }) => apiKey)).toEqual(records.map(() => 'alice'));
    expect(await server.stop()).toMatchObject({ code: 0 });
    expect(JSON.stringify(server.log)).not.toMatch(/open-sesame|no auth\.keys/);
    rmSync(folder, { recursive: true });
  });

  it('are missed in the log by a server that others can reach', async () => {
    const server = await Server.listening('--host', '0.0.0.0');
    const { level, message } = await server.logged(/auth\.keys/);
    expect([level, message]).toEqual(['warn', 'open to whoever reaches 0.0.0.0: there are no auth.keys']);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
});

describe('a rate limit in a Redis that is not there', () => {
  it('neither stops the start nor a request', async () => {
    const redis = ['--set', 'rateLimit.storage=redis', '--set', `redis.url=redis://127.0.0.1:${await freePort()}`];
    const server = await Server.ready('--set', 'rateLimit.limit=1', ...redis);
    const client = new Client(server);
    for (let i = 0; i < 3; i++) expect((await client.postJson(wrong)).status).toBe(400);
    await server.logged(/^Redis is away/);
    const told = () => server.log.filter(({ message }) => message.startsWith('Redis is away'));
    expect(told()).toMatchObject([{ level: 'warn' }]);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
});

describe('a rate limit in Redis', () => {
  let port: number;
  let redis: RedisServer;
  const servers: Server[] = [];
  beforeEach(async () => {
    port = await freePort();
    redis = await RedisServer.start(port);
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) expect(await server.stop()).toMatchObject({ code: 0 });
    await redis.kill();
  });

  async function start(limit: number, windowMs = 60_000): Promise<Client> {
    const limits = ['--set', `rateLimit.limit=${limit}`, '--set', `rateLimit.windowMs=${windowMs}`];
    const server = await Server.ready(...limits, '--set', 'rateLimit.storage=redis', '--set', `redis.url=${redis.url}`);
    servers.push(server);
    return new Client(server);
  }

  it('is one for all servers', async () => {
    const [first, second] = [await start(3), await start(3)];
    const left = async (client: Client) => (await client.postJson(wrong)).headers.get('ratelimit-remaining');
    expect([await left(first), await left(second), await left(first)]).toEqual(['2', '1', '0']);
    for (const client of [first, second]) {
      const refused = await client.postJson(wrong);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
      expect(await errorOf(refused)).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    }
  });

  it('counts exactly when requests come at once', async () => {
    const client = await start(20);
    const answers = await Promise.all(Array.from({ length: 50 }, () => client.postJson(wrong)));
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(20);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(30);
  });

  it('lets a client in again when its oldest request has left the window, though it went on asking', async () => {
    // Two requests are sent well within it.
    const client = await start(1, 5000);
    expect((await client.postJson(wrong)).status).toBe(400);
    expect((await client.postJson(wrong)).status).toBe(429);
    await eventually('the next request is taken', async () => (await client.postJson(wrong)).status === 400);
  });

  it('keeps nobody out for longer than a window when the clock of its machine is set back', async () => {
    const client = await start(2, 5000);
    for (const status of [400, 400, 429]) expect((await client.postJson(wrong)).status).toBe(status);
    // To Redis it is the same: what it has noted lies a day ahead.
    const direct = new Redis(redis.url);
    const [key = ''] = await direct.keys('*');
    const times = await direct.lrange(key, 0, -1);
    expect(times).toHaveLength(2);
    for (const [index, time] of times.entries()) await direct.lset(key, index, Number(time) + 86_400_000);
    await direct.pexpire(key, 86_400_000);
    const refused = await client.postJson(wrong);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toMatch(/^[1-5]$/);
    const [first, second] = (await direct.lrange(key, 0, -1)).map(Number);
    expect(second! - first!).toBe(Number(times[1]) - Number(times[0]));
    expect(await direct.pttl(key)).toBeLessThanOrEqual(5000);
    await eventually('the next request is taken', async () => (await client.postJson(wrong)).status === 400);
    direct.disconnect();
  });

  it.each(['SIGKILL', 'SIGSTOP'] as const)(
    'lets requests through after its %s, tells it once, and counts again',
    async (signal) => {
      const client = await start(2);
      const server = servers[0]!;
      for (const status of [400, 400, 429]) expect((await client.postJson(wrong)).status).toBe(status);

      redis.signal(signal);
      await eventually('requests are let through', async () => (await client.postJson(wrong)).status === 400);
      for (let i = 0; i < 10; i++) expect((await client.postJson(wrong)).status).toBe(400);
      expect(server.log.filter(({ message }) => message.startsWith('Redis is away'))).toHaveLength(1);

      if (signal === 'SIGSTOP') redis.signal('SIGCONT');
      else redis = await RedisServer.start(port);
      await eventually('requests are counted again', async () => (await client.postJson(wrong)).status === 429);
      await server.logged(/^Redis is back/);
      expect(JSON.stringify(server.log)).not.toContain('secret');
    },
  );
});
