import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether a host's name or address (IPv6 also in brackets) is this machine by itself, without asking a name server. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const version = isIP(bare);
  if (version === 0) return /^(.+\.)?localhost\.?$/i.test(bare);
  return loopback.check(bare, version === 4 ? 'ipv4' : 'ipv6');
}
