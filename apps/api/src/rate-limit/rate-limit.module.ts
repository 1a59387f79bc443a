import { configTokens, type AppConfig, type RateLimitConfig } from '@app/config';
import { ThrottlerModule, type ThrottlerModuleOptions } from '@nestjs/throttler';
import { MemoryThrottlerStorage } from './memory.throttler-storage.js';
import { RedisThrottlerStorage } from './redis.throttler-storage.js';

/** A sliding window: what was refused does not count, so that a client which waits as told is let in again. */
export const RateLimitModule = ThrottlerModule.forRootAsync({
  inject: [configTokens.rateLimit, configTokens.redis],
  useFactory: (limits: RateLimitConfig, { url }: AppConfig['redis']): ThrottlerModuleOptions => ({
    throttlers: [{ limit: limits.limit, ttl: limits.windowMs, blockDuration: 0 }],
    skipIf: () => !limits.enabled,
    storage:
      limits.enabled && limits.storage === 'redis' && url !== null
        ? new RedisThrottlerStorage(url)
        : new MemoryThrottlerStorage(),
  }),
});
