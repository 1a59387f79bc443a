import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { ApiKey, KeyScope } from './app-config.js';

export type CheckedKeys = { ok: true; value: readonly ApiKey[] } | { ok: false; message: string };

const scopes: readonly KeyScope[] = ['generate', 'admin', 'metrics'];
const members = ['name', 'sha256', 'scopes'];
export const keysAllowed = 'a list of {name, sha256, scopes} or the path of a file that holds one';

/** Messages say which key and what is wrong, never what came: it may be the key itself, written in the wrong place. */
export function checkKeys(value: unknown): CheckedKeys {
  if (!Array.isArray(value)) return wrong(`must be ${keysAllowed}`);
  if (value.length === 0) return wrong('must hold a key; null lets everybody in');
  const keys: ApiKey[] = [];
  for (const [index, entry] of value.entries()) {
    const fault = faultOf(entry, keys);
    if (fault !== null) return wrong(`key ${index + 1} ${fault}`);
    const { name, sha256, scopes: given = ['generate'] } = entry as Omit<ApiKey, 'scopes'> & Partial<ApiKey>;
    keys.push({ name, sha256: sha256.toLowerCase(), scopes: given });
  }
  return { ok: true, value: keys };
}

/** A YAML or JSON file that is nothing but the list. */
export function readKeyFile(path: string): CheckedKeys {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return wrong(`cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  const document = parseDocument(text);
  const line = document.errors[0]?.linePos?.[0].line;
  if (document.errors.length > 0) return wrong(`is neither YAML nor JSON${line === undefined ? '' : `, line ${line}`}`);
  const checked = checkKeys(document.toJS());
  return checked.ok || Array.isArray(document.toJS()) ? checked : wrong('must hold a list of {name, sha256, scopes}');
}

function wrong(message: string): CheckedKeys {
  return { ok: false, message };
}

function faultOf(entry: unknown, before: readonly ApiKey[]): string | null {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return 'must be {name, sha256, scopes}';
  const { name, sha256, scopes: given } = entry as Record<string, unknown>;
  if (Object.keys(entry).some((member) => !members.includes(member))) return `may have ${members.join(', ')} only`;
  if (typeof name !== 'string' || !/^[\w.-]{1,64}$/.test(name)) return 'needs a name: 1 to 64 of A-Z a-z 0-9 _ . -';
  if (typeof sha256 !== 'string' || !/^[\da-f]{64}$/i.test(sha256))
    return `(${name}) needs a sha256: 64 hexadecimal digits in quotes`;
  if (given !== undefined && !isScopes(given)) return `(${name}) has wrong scopes: a list of ${scopes.join(' | ')}`;
  if (before.some((key) => key.name === name)) return `(${name}) has the name of an earlier one`;
  const twin = before.find((key) => key.sha256 === sha256.toLowerCase());
  return twin ? `(${name}) is the same key as ${twin.name}` : null;
}

function isScopes(value: unknown): value is KeyScope[] {
  return Array.isArray(value) && value.length > 0 && value.every((scope) => scopes.some((known) => known === scope));
}
