import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

type Packages = Record<string, { version: string; integrity?: string; optional?: boolean; dev?: boolean }>;

const a = { version: '1.0.0', integrity: 'sha512-a' };
const b = { version: '2.0.0', integrity: 'sha512-b', dev: true };
const forAnotherPlatform = { version: '3.0.0', integrity: 'sha512-c', optional: true };
const wanted: Packages = {
  '': { version: '0.1.0' },
  'node_modules/a': a,
  'node_modules/b': b,
  'node_modules/c': forAnotherPlatform,
};

function isCurrent(installed: Packages | undefined): boolean {
  const root = mkdtempSync(join(tmpdir(), 'qwen-npm-'));
  try {
    for (const folder of ['scripts', 'node_modules']) mkdirSync(join(root, folder));
    cpSync(resolve(__dirname, '../../scripts/npm-current.mjs'), join(root, 'scripts/npm-current.mjs'));
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages: wanted }));
    if (installed) writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages: installed }));
    const result = spawnSync(process.execPath, [join(root, 'scripts/npm-current.mjs')], { encoding: 'utf8' });
    expect(result.stderr).toBe('');
    return result.status === 0;
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('npm-current', () => {
  it('accepts what package-lock.json asks for, without the packages of other platforms', () => {
    expect(isCurrent({ 'node_modules/a': a, 'node_modules/b': b })).toBe(true);
  });

  it.each<[string, Packages | undefined]>([
    ['nothing', undefined],
    ['a missing package', { 'node_modules/a': a }],
    ['another version', { 'node_modules/a': { ...a, version: '1.0.1' }, 'node_modules/b': b }],
    ['other bytes', { 'node_modules/a': { ...a, integrity: 'sha512-x' }, 'node_modules/b': b }],
    ['one package too many', { 'node_modules/a': a, 'node_modules/b': b, 'node_modules/d': a }],
  ])('refuses %s', (_, installed) => {
    expect(isCurrent(installed)).toBe(false);
  });
});
