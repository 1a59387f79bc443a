import type { Software } from '@app/inference';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export function readSoftware(projectRoot: string): Software {
  const { name, version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as Software;
  return { name, version };
}
