import { normalizeIp } from '@nestjs/throttler';
import type { Request } from 'express';
import { isIP } from 'node:net';
import { keyNameOf } from './key-name.js';

/** Whose share of the service a request takes: its API key's, else its address' (of IPv6 the /64, which one client owns whole). */
export function clientNameOf(request: Request): string {
  const key = keyNameOf(request);
  return key === undefined ? `address:${addressOf(request)}` : `key:${key}`;
}

/** What a proxy wrote that is no address names nobody: the connection's own counts. */
function addressOf({ ip = '', socket }: Request): string {
  const told = withoutPort(ip);
  return normalizeIp(isIP(told) !== 0 ? told : (socket.remoteAddress ?? ''));
}

/** Some proxies write the port too, which is another one for each connection: 1.2.3.4:55, [2001:db8::1]:80, ::ffff:1.2.3.4:55 */
function withoutPort(text: string): string {
  const [, inBrackets, dotted] = /^\[([^\]]*)\](?::\d+)?$|^(.*\d\.\d+):\d+$/.exec(text) ?? [];
  return inBrackets ?? dotted ?? text;
}
