// Exit 0 when node_modules holds what package-lock.json asks for: npm records what it installed in a hidden lock file.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const installedFile = resolve(root, 'node_modules/.package-lock.json');

function packages(file) {
  return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')).packages).filter(([path]) => path !== ''));
}

function isCurrent() {
  if (!existsSync(installedFile)) return false;
  const installed = packages(installedFile);
  const wanted = packages(resolve(root, 'package-lock.json'));
  const extra = [...installed.keys()].some((path) => !wanted.has(path));
  const wrong = [...wanted].some(([path, { version, integrity, optional, devOptional }]) => {
    const present = installed.get(path);
    if (!present) return !optional && !devOptional; // other platforms' binaries stay away
    return present.version !== version || present.integrity !== integrity;
  });
  return !extra && !wrong;
}

process.exitCode = isCurrent() ? 0 : 1;
