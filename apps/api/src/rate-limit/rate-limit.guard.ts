import { ServiceError } from '@app/inference';
import { Injectable, type ExecutionContext } from '@nestjs/common';
import { ThrottlerGuard, type ThrottlerLimitDetail } from '@nestjs/throttler';
import type { Request, Response } from 'express';
import { clientNameOf } from '../access/client-name.js';

/** One count a client over all routes that it guards. */
@Injectable()
export class RateLimitGuard extends ThrottlerGuard {
  protected override headerPrefix = 'RateLimit';

  protected override getTracker(request: Request): Promise<string> {
    return Promise.resolve(clientNameOf(request));
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
    const most = detail.limit === 1 ? '1 request' : `${detail.limit} requests`;
    const message = `more than ${most} in ${detail.ttl / 1000} s; the next one is taken in ${retryAfterS} s`;
    return Promise.reject(new ServiceError('RATE_LIMITED', message, { retryAfterS }));
  }
}
