import type { KeyScope } from '@app/config';

/** What a key must be allowed to do on a route, by the route's path as it was registered; null = no key is needed. */
export function neededScope(routePath: string): KeyScope | null {
  if (/^\/health(\/|$)/.test(routePath)) return null;
  if (isAdminPath(routePath)) return 'admin';
  return routePath === '/metrics' ? 'metrics' : 'generate';
}

/** Routes that change the service itself. */
export function isAdminPath(routePath: string): boolean {
  return /^\/admin(\/|$)/.test(routePath);
}

/** Routes of one job, which its own token lets read. */
export function isJobPath(routePath: string): boolean {
  return routePath.startsWith('/jobs/');
}
