import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Everything below a path, so that two looks show what has changed: kinds, modes, targets of links, contents. */
export function pictureOfFolder(path: string): Record<string, string> {
  const stats = lstatSync(path);
  const mode = (stats.mode & 0o7777).toString(8);
  if (stats.isSymbolicLink()) return { [path]: `link to ${readlinkSync(path)}` };
  if (stats.isFile()) return { [path]: `file ${mode} ${stats.size} ${contentOf(path, stats.size)}` };
  if (!stats.isDirectory()) return { [path]: `something else ${mode}` };
  const below = readdirSync(path).map((name) => pictureOfFolder(join(path, name)));
  return Object.assign({ [path]: `folder ${mode}` }, ...below) as Record<string, string>;
}

const largestRead = 1_000_000;

function contentOf(path: string, size: number): string {
  return size > largestRead ? 'unread' : createHash('sha256').update(readFileSync(path)).digest('hex');
}
