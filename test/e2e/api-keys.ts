import { createHash } from 'node:crypto';

/** Arguments of a server that lets these in, each by its own key. */
export function withKeysOf(...names: string[]): string[] {
  return withKeys(Object.fromEntries(names.map((name) => [name, ['generate', 'metrics']])));
}

/** The same, by names and what each may do. */
export function withKeys(scopesOf: Readonly<Record<string, readonly string[]>>): string[] {
  const keys = Object.entries(scopesOf).map(([name, scopes]) => {
    return { name, sha256: createHash('sha256').update(keyOf(name)).digest('hex'), scopes };
  });
  return ['--set', `auth.keys=${JSON.stringify(keys)}`];
}

export function keyOf(name: string): string {
  return `key-of-${name}`;
}

export function sentBy(name: string): Record<string, string> {
  return { authorization: `Bearer ${keyOf(name)}` };
}
