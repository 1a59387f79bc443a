import { isLoopback } from './loopback.js';

describe(isLoopback.name, () => {
  it.each([
    'localhost',
    'LOCALHOST',
    'localhost.',
    'app.localhost',
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '[::1]',
    '::ffff:127.0.0.1',
  ])('knows %s', (host) => expect(isLoopback(host)).toBe(true));

  it.each(['', '0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.com', 'localhost.example.com', 'notlocalhost', '::ffff:10.0.0.1'])(
    'does not take %j for one',
    (host) => expect(isLoopback(host)).toBe(false),
  );
});
