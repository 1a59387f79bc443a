import type { AppConfig } from '@app/config';

const causes: Readonly<Record<string, { key: 'server.host' | 'server.port'; why: string }>> = {
  EADDRINUSE: { key: 'server.port', why: 'another process listens there' },
  EACCES: { key: 'server.port', why: 'ports below 1024 are kept for root' },
  EADDRNOTAVAIL: { key: 'server.host', why: 'this machine has no such address' },
  ENOTFOUND: { key: 'server.host', why: 'no address is known for it' },
};

/** What listen(2) refuses, with the setting that chose it. */
export function cannotListen(error: unknown, { host, port }: Pick<AppConfig['server'], 'host' | 'port'>): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const cause = causes[code];
  if (!cause) return new Error(`server.host, server.port: ${message}`, { cause: error });
  const value = cause.key === 'server.port' ? port : host;
  return new Error(`${cause.key}: ${value} cannot be used: ${cause.why} (${message})`, { cause: error });
}
