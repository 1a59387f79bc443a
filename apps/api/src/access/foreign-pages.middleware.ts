import type { ServerConfig } from '@app/config';
import { ServiceError } from '@app/inference';
import type { NextFunction, Request, Response } from 'express';
import { isLoopback } from './loopback.js';

const readingMethods = ['GET', 'HEAD', 'OPTIONS'];

/**
 * For a service that is open because only this machine reaches it. A browser on this machine reaches it too, with pages from
 * anywhere in it: by a name that was made to point here (DNS rebinding: a foreign Host), or by a POST that needs no CORS
 * (a foreign Origin).
 */
export function refuseForeignPages({ allowedHosts, corsOrigins }: Pick<ServerConfig, 'allowedHosts' | 'corsOrigins'>) {
  const hosts = new Set(allowedHosts.map((host) => host.toLowerCase()));
  return (request: Request, _response: Response, next: NextFunction): void => {
    const origin = request.headers.origin;
    const host = request.headers.host?.toLowerCase();
    const name = host?.replace(/:\d*$/, '');
    if (name !== undefined && !isLoopback(name) && !hosts.has(name)) {
      next(new ServiceError('FORBIDDEN', 'the Host of the request is not in server.allowedHosts'));
    } else if (origin !== undefined && !readingMethods.includes(request.method) && !isOwn(origin, host) && !isListed(origin)) {
      next(new ServiceError('FORBIDDEN', 'the Origin of the request is not in server.corsOrigins'));
    } else next();
  };

  function isListed(origin: string): boolean {
    return corsOrigins.includes('*') || corsOrigins.includes(origin);
  }
}

/** Of a page that this very server sent; TLS may have ended before it. */
function isOwn(origin: string, host: string | undefined): boolean {
  return host !== undefined && [`http://${host}`, `https://${host}`].includes(origin.toLowerCase());
}
