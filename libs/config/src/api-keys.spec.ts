import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkKeys, readKeyFile } from './api-keys.js';

const sha256 = 'ab'.repeat(32);
const alice = { name: 'alice', sha256 };

describe(checkKeys.name, () => {
  it('lets a key generate when nothing else is said, and keeps hashes in lower case', () => {
    const ops = { name: 'ops', sha256: 'CD'.repeat(32), scopes: ['admin', 'metrics'] };
    expect(checkKeys([alice, ops])).toEqual({
      ok: true,
      value: [
        { ...alice, scopes: ['generate'] },
        { ...ops, sha256: 'cd'.repeat(32) },
      ],
    });
  });

  it.each<[string, unknown, string]>([
    ['an empty list', [], 'must hold a key; null lets everybody in'],
    ['one key without its list', alice, 'must be a list of {name, sha256, scopes} or the path of a file that holds one'],
    ['a text for a key', ['tell-nobody'], 'key 1 must be {name, sha256, scopes}'],
    ['no name', [{ sha256 }], 'key 1 needs a name: 1 to 64 of A-Z a-z 0-9 _ . -'],
    ['a name with a line break', [{ name: 'a\nb', sha256 }], 'key 1 needs a name: 1 to 64 of A-Z a-z 0-9 _ . -'],
    ['the key itself', [{ name: 'alice', key: 'tell-nobody' }], 'key 1 may have name, sha256, scopes only'],
    [
      'the key in the place of its hash',
      [{ name: 'alice', sha256: 'tell-nobody' }],
      'key 1 (alice) needs a sha256: 64 hexadecimal digits in quotes',
    ],
    ['a number for a hash', [{ name: 'alice', sha256: 7 }], 'key 1 (alice) needs a sha256: 64 hexadecimal digits in quotes'],
    [
      'an unknown scope',
      [{ ...alice, scopes: ['generate', 'root'] }],
      'key 1 (alice) has wrong scopes: a list of generate | admin | metrics',
    ],
    ['no scopes', [{ ...alice, scopes: [] }], 'key 1 (alice) has wrong scopes: a list of generate | admin | metrics'],
    ['a name twice', [alice, { name: 'alice', sha256: 'cd'.repeat(32) }], 'key 2 (alice) has the name of an earlier one'],
    ['a key twice', [alice, { name: 'bob', sha256: sha256.toUpperCase() }], 'key 2 (bob) is the same key as alice'],
  ])('refuses %s, without telling it', (_, value, message) => {
    expect(checkKeys(value)).toEqual({ ok: false, message });
  });
});

describe(readKeyFile.name, () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'qwen-keys-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['YAML', `- name: alice # of the shop\n  sha256: "${sha256}"\n`],
    ['JSON', JSON.stringify([alice])],
  ])('reads %s', (format, text) => {
    const path = join(folder, format);
    writeFileSync(path, text);
    expect(readKeyFile(path)).toEqual({ ok: true, value: [{ ...alice, scopes: ['generate'] }] });
  });

  it.each([
    ['that is missing', null, 'cannot be read: ENOENT'],
    ['that is empty', '', 'must hold a list of {name, sha256, scopes}'],
    ['of a map', 'auth: 1', 'must hold a list of {name, sha256, scopes}'],
    ['that is broken', '- name: x\n- {tell-nobody', 'is neither YAML nor JSON, line 2'],
    ['with a wrong key', '- name: x', 'key 1 (x) needs a sha256: 64 hexadecimal digits in quotes'],
  ])('refuses a file %s', (name, text, message) => {
    const path = join(folder, name);
    if (text !== null) writeFileSync(path, text);
    expect(readKeyFile(path)).toEqual({ ok: false, message });
  });
});
