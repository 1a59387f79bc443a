import type { Response } from 'express';

/** Of an answer whose connection has closed; 499, as proxies log it, when its client left before any of it was sent. */
export function toldStatus({ headersSent, statusCode }: Response): number {
  return headersSent ? statusCode : 499;
}
