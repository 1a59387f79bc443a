import type { Request } from 'express';
import { clientNameOf } from './client-name.js';

describe(clientNameOf.name, () => {
  const nameOf = (ip: string | undefined) => clientNameOf({ ip, headers: {}, socket: { remoteAddress: '10.0.0.9' } } as Request);

  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['1.2.3.4:55', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4:55', '1.2.3.4'],
    ['[::ffff:1.2.3.4]:55', '1.2.3.4'],
    ['2001:db8:0:1::5', '2001:db8:0:1::/64'],
    ['[2001:db8:0:1::6]', '2001:db8:0:1::/64'],
    ['[2001:db8:0:1::7]:80', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['::1', '::1'],
  ])('takes %s for %s', (ip, address) => {
    expect(nameOf(ip)).toBe(`address:${address}`);
  });

  it.each(['unknown', '_hidden', '', ':80', '[]:80', '1.2.3:55', '1.2.3.4:port', '300.1.1.1:80', 'a.b.c.d', undefined])(
    'takes %s for whoever the connection is from',
    (ip) => {
      expect(nameOf(ip)).toBe('address:10.0.0.9');
    },
  );
});
