import { createHash } from 'node:crypto';

/** Arguments of a server that lets these in, each by its own key. */
export function withKeysOf(...names: string[]): string[] {
  const scopes = ['generate', 'metrics'];
  const keys = names.map((name) => ({ name, sha256: createHash('sha256').update(keyOf(name)).digest('hex'), scopes }));
  return ['--set', `auth.keys=${JSON.stringify(keys)}`];
}

export function keyOf(name: string): string {
  return `key-of-${name}`;
}

export function sentBy(name: string): Record<string, string> {
  return { authorization: `Bearer ${keyOf(name)}` };
}
