import { losesDigits, readJsonSource } from './json-source.js';

describe(readJsonSource.name, () => {
  it.each([
    ['{"a":1,"b":2,"a":3}', ['a']],
    ['{"a":1,"\\u0061":3}', ['a']],
    ['{"a":{"b":1,"b":2},"c":[{"b":1}],"b":0}', []],
    ['{"a":"\\"a\\":1,{","b":",\\\\","c":"a"}', []],
    ['{"__proto__":1,"__proto__":2}', ['__proto__']],
    ['{ "a" : [ ] , "a" : { } }', ['a']],
    ['{}', []],
  ])('finds the names that come twice in %s', (text, names) => {
    JSON.parse(text);
    expect([...readJsonSource(text).repeated]).toEqual(names);
  });

  it('keeps numbers as they were written', () => {
    const text = '{"a":9007199254740993,"b":-1.50e+1,"c":"7","d":[8],"e":{"f":9},"g":null,"h" : 0}';
    expect([...readJsonSource(text).numbers]).toEqual([
      ['a', '9007199254740993'],
      ['b', '-1.50e+1'],
      ['h', '0'],
    ]);
  });
});

describe(losesDigits.name, () => {
  it.each(['4', '-4', '4.0', '4e0', '1.5e1', '0.4e1', '4.00000000000000000000', '9007199254740991'])('trusts %s', (written) => {
    expect(losesDigits(written)).toBe(false);
  });

  it.each(['4.00000000000000000001', '9007199254740990.6', '9.0071992547409906e15', '3.99999999999999999999'])(
    'does not trust %s',
    (written) => {
      expect(Number.isSafeInteger(Number(written))).toBe(true);
      expect(losesDigits(written)).toBe(true);
    },
  );
});
