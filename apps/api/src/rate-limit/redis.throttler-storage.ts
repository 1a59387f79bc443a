import { Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { ThrottlerStorage } from '@nestjs/throttler';
import { Redis } from 'ioredis';
import type { StorageRecord } from './storage-record.js';

const keyPrefix = 'qwen-image-server:rate-limit:';
const commandTimeoutMs = 500;
const connectTimeoutMs = 2000;
const longestRetryMs = 2000;

/**
 * KEYS[1]: times (ms, by Redis' clock: servers need not agree on theirs) of the requests in the window, oldest first.
 * ARGV: window in ms, limit. Gives their number, whether this one is refused, and when (ms) the oldest leaves.
 * Redis knows no clock but the wall clock of its machine. Where that was set back, the newest request lies ahead: it is taken to be of this
 * moment, and the others as long before it as they were. Where it was set forward, Redis itself drops the key: windows begin anew.
 */
const hit = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local newest = tonumber(redis.call('LINDEX', KEYS[1], -1) or now)
if newest > now then
  local times = redis.call('LRANGE', KEYS[1], 0, -1)
  redis.call('DEL', KEYS[1])
  for _, time in ipairs(times) do
    redis.call('RPUSH', KEYS[1], string.format('%d', time - (newest - now)))
  end
  redis.call('PEXPIRE', KEYS[1], window)
end
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and tonumber(oldest) <= now - window do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end
local hits = redis.call('LLEN', KEYS[1])
local refused = hits >= limit
if not refused then
  redis.call('RPUSH', KEYS[1], string.format('%d', now))
  redis.call('PEXPIRE', KEYS[1], window)
end
return { hits + 1, refused and 1 or 0, (oldest or now) + window - now }
`;

/** One count for all servers that share a Redis. It is no reason to refuse a picture: while Redis is away, requests are let through. */
export class RedisThrottlerStorage implements ThrottlerStorage, OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(RedisThrottlerStorage.name);
  private readonly redis: Redis;
  private away = false;

  constructor(url: string) {
    this.redis = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false, // a command without a connection fails at once instead of waiting for one
      maxRetriesPerRequest: 0,
      commandTimeout: commandTimeoutMs,
      connectTimeout: connectTimeoutMs,
      retryStrategy: (attempt) => Math.min(attempt * 100, longestRetryMs),
    });
    this.redis.on('error', (error: Error) => this.lost(error));
  }

  onModuleInit(): void {
    this.redis.connect().catch((error: unknown) => this.lost(error));
  }

  onApplicationShutdown(): void {
    this.redis.disconnect();
  }

  async increment(key: string, windowMs: number, limit: number): Promise<StorageRecord> {
    try {
      const answer = await this.redis.eval(hit, 1, keyPrefix + key, windowMs, limit);
      const [totalHits, refused, untilOldestLeaves] = answer as [number, number, number];
      this.found();
      const seconds = Math.ceil(untilOldestLeaves / 1000);
      return { totalHits, timeToExpire: seconds, isBlocked: refused === 1, timeToBlockExpire: refused === 1 ? seconds : 0 };
    } catch (error) {
      this.lost(error);
      // A hung Redis would hold up every request for the time-out; without a connection commands fail at once.
      if (error instanceof Error && error.message === 'Command timed out') this.redis.disconnect(true);
      return { totalHits: 0, timeToExpire: 0, isBlocked: false, timeToBlockExpire: 0 };
    }
  }

  /** Once an outage. Only the message: ioredis' errors hold the command, and that of a failed log-in is the password. */
  private lost(error: unknown): void {
    if (this.away) return;
    this.away = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.logger.warn(`Redis is away: requests are let through without a rate limit (${reason})`);
  }

  private found(): void {
    if (!this.away) return;
    this.away = false;
    this.logger.log('Redis is back: requests are counted again');
  }
}
