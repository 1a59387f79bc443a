import { InferenceService } from '@app/inference';
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { keyNameOf } from '../access/key-name.js';
import { readIdempotencyKey } from './idempotency-key.js';

/** Answers at once, before a body is taken in, when nothing could be drawn anyway. What was drawn already can be given. */
@Injectable()
export class EngineReadyGuard implements CanActivate {
  constructor(private readonly inference: InferenceService) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    const { key } = readIdempotencyKey(request);
    if (key === null || !this.inference.knowsKey(keyNameOf(request) ?? null, key)) this.inference.assertAvailable();
    return true;
  }
}
