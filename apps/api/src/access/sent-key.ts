import type { Request } from 'express';

/** A gateway in front may use Authorization for itself: X-API-Key is meant for this service alone. */
export function sentKey(request: Request): string | null {
  return request.get('x-api-key') ?? /^Bearer +(\S+) *$/i.exec(request.get('authorization') ?? '')?.[1] ?? null;
}
