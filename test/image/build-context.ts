import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../e2e/server.js';

/** .dockerignore as this project writes it: patterns of names at the top, none of them taken back. */
function ignorePatterns(): RegExp[] {
  const lines = readFileSync(join(projectRoot, '.dockerignore'), 'utf8').split('\n');
  const patterns = lines.filter((line) => line !== '' && !line.startsWith('#'));
  return patterns.map((pattern) => {
    if (/[/!?[\]]/.test(pattern)) throw new Error(`.dockerignore: ${pattern} is more than these tests understand`);
    return new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
  });
}

export function isIgnored(path: string): boolean {
  const [top = ''] = path.split('/');
  return ignorePatterns().some((pattern) => pattern.test(top));
}

/** Names at the top of what `docker build .` is given. */
export function contextEntries(): string[] {
  return readdirSync(projectRoot).filter((name) => !isIgnored(name));
}
