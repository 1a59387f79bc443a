import { Logger } from '@nestjs/common';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { RedisThrottlerStorage } from './redis.throttler-storage.js';

const letThrough = { totalHits: 0, timeToExpire: 0, isBlocked: false, timeToBlockExpire: 0 };

/** What a real Redis counts is in test/e2e/access.spec.ts. */
describe(`${RedisThrottlerStorage.name} without its Redis`, () => {
  const warnings: string[] = [];
  const sockets = new Set<Socket>();
  let server: Server;
  let port: number;
  let storage: RedisThrottlerStorage;

  beforeEach(async () => {
    warnings.length = 0;
    jest.spyOn(Logger.prototype, 'warn').mockImplementation((message: string) => void warnings.push(message));
    server = createServer((socket) => sockets.add(socket.resume().on('error', () => undefined))).listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => {
    storage.onApplicationShutdown();
    sockets.forEach((socket) => socket.destroy());
    server.close();
    jest.restoreAllMocks();
  });

  async function incrementOften(): Promise<void> {
    for (let i = 0; i < 20; i++) expect(await storage.increment('a', 1000, 1)).toEqual(letThrough);
    expect(warnings).toEqual([expect.stringMatching(/^Redis is away: requests are let through without a rate limit \(/)]);
    expect(warnings.join()).not.toContain('tell-nobody');
  }

  it('lets requests through when nobody listens, and says so once', async () => {
    server.close();
    storage = new RedisThrottlerStorage(`redis://:tell-nobody@127.0.0.1:${port}`);
    storage.onModuleInit();
    await incrementOften();
  });

  it('lets requests through when it takes connections and answers nothing', async () => {
    storage = new RedisThrottlerStorage(`redis://:tell-nobody@127.0.0.1:${port}`);
    storage.onModuleInit();
    await once(server, 'connection');
    await incrementOften();
  });
});
