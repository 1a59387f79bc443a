import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The nearest folder with a package.json above: files of this library run from their source folder and from dist/. */
export function findProjectRoot(folder: string = __dirname): string {
  const parent = dirname(folder);
  return existsSync(join(folder, 'package.json')) || parent === folder ? folder : findProjectRoot(parent);
}
