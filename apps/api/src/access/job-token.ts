import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request } from 'express';

const readingMethods = ['GET', 'HEAD'];

/** The token of a job, which lets a browser's EventSource and <img> read it: they cannot send headers. Null: none was sent. */
export function sentToken(request: Request): string | null {
  const { token } = request.query;
  if (token === undefined || !readingMethods.includes(request.method)) return null;
  // One that comes twice is none of ours.
  return typeof token === 'string' ? token : '';
}

/** How long a look takes tells nothing of how much was right. */
export function isToken(sent: string, token: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(sent), hash(token));
}
