import type { Request } from 'express';

/** The route that a request met, as its controller spells it; `other` where no controller answers: paths are without number. */
export function routeOf(request: Request): string {
  const { path } = (request.route ?? {}) as { path?: unknown };
  return typeof path === 'string' ? path : 'other';
}
