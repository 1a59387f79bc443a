import { normalizeIp } from '@nestjs/throttler';
import type { Request } from 'express';
import { keyNameOf } from './key-name.js';

/** Whose share of the service a request takes: its API key's, else its address' (of IPv6 the /64, which one client owns whole). */
export function clientNameOf(request: Request): string {
  const key = keyNameOf(request);
  return key === undefined ? `address:${normalizeIp(request.ip ?? '')}` : `key:${key}`;
}
