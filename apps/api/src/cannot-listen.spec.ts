import { cannotListen } from './cannot-listen.js';

describe(cannotListen.name, () => {
  it.each([
    ['EADDRINUSE', 'server.port: 80 cannot be used: another process listens there (listen EADDRINUSE: odd)'],
    ['EACCES', 'server.port: 80 cannot be used: ports below 1024 are kept for root (listen EACCES: odd)'],
    ['EADDRNOTAVAIL', 'server.host: a.example cannot be used: this machine has no such address (listen EADDRNOTAVAIL: odd)'],
    ['ENOTFOUND', 'server.host: a.example cannot be used: no address is known for it (listen ENOTFOUND: odd)'],
    ['EMFILE', 'server.host, server.port: listen EMFILE: odd'],
  ])('names the setting that %s is about', (code, message) => {
    const error = Object.assign(new Error(`listen ${code}: odd`), { code });
    expect(cannotListen(error, { host: 'a.example', port: 80 }).message).toBe(message);
  });
});
