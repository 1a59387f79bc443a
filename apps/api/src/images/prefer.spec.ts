import { prefersAsync } from './prefer.js';

describe(prefersAsync.name, () => {
  it.each([
    'respond-async',
    'Respond-ASYNC',
    ' respond-async ',
    'respond-async, wait=10',
    'wait=10,respond-async',
    'handling=lenient;foo="a, b", respond-async',
    'return=minimal; foo="x\\", y", respond-async; reason=slow',
    'respond-async;priority=5',
    'respond-async=""',
    'respond-async =',
    ', ,respond-async',
    '=broken, respond-async',
    'wait="10, respond-async',
  ])('is true for %s', (prefer) => expect(prefersAsync(prefer)).toBe(true));

  it.each([
    undefined,
    '',
    'wait=10',
    'respond-async-later',
    'no-respond-async',
    'respond-async=no',
    'respond-async="no"',
    'respond async',
    'note="x, respond-async"',
    'note="x\\", respond-async"',
    'foo; respond-async',
    'foo=respond-async',
  ])('is false for %s', (prefer) => expect(prefersAsync(prefer)).toBe(false));

  it('is quick with what was made to be slow', () => {
    expect(prefersAsync(`${'"'.repeat(8000)}${'a="\\'.repeat(2000)}`)).toBe(false);
    expect(prefersAsync(`a${' '.repeat(16_000)}=`)).toBe(false);
    expect(prefersAsync(`a=${' '.repeat(16_000)}b c`)).toBe(false);
    expect(prefersAsync(`"${'\\"'.repeat(8000)}`)).toBe(false);
  });
});
