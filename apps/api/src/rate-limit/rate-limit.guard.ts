import { ServiceError } from '@app/inference';
import { Injectable, type ExecutionContext } from '@nestjs/common';
import { ThrottlerGuard, type ThrottlerLimitDetail } from '@nestjs/throttler';
import type { Request, Response } from 'express';
import { keyNameOf } from '../access/key-name.js';

/** One count a client over all routes that it guards: its API key, else its address (of IPv6 the /64, which one client owns whole). */
@Injectable()
export class RateLimitGuard extends ThrottlerGuard {
  protected override headerPrefix = 'RateLimit';

  protected override async getTracker(request: Request): Promise<string> {
    const name = keyNameOf(request);
    return name === undefined ? `address:${await super.getTracker(request)}` : `key:${name}`;
  }

  protected override generateKey(_context: ExecutionContext, tracker: string): string {
    return tracker;
  }

  protected override throwThrottlingException(context: ExecutionContext, detail: ThrottlerLimitDetail): Promise<void> {
    const response = context.switchToHttp().getResponse<Response>();
    const retryAfterS = Math.max(1, detail.timeToBlockExpire);
    response.setHeader('RateLimit-Limit', detail.limit);
    response.setHeader('RateLimit-Remaining', 0);
    response.setHeader('RateLimit-Reset', retryAfterS);
    const window = `${detail.ttl / 1000} s`;
    const message = `more than ${detail.limit} requests in ${window}; the next one is taken in ${retryAfterS} s`;
    return Promise.reject(new ServiceError('RATE_LIMITED', message, { retryAfterS }));
  }
}
