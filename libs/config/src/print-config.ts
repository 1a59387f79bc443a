import type { Entry } from './config-source.js';
import { settings } from './settings.js';

/** The values that hold, as a YAML file, each with where it came from; `resolved` are those that were filled in. */
export function printConfig(entries: ReadonlyMap<string, Entry>, resolved: ReadonlyMap<string, unknown>): string {
  const lines = ['# The configuration that holds, and where each value came from.'];
  let group = '';
  for (const { key, secret } of settings) {
    const [of = '', name = ''] = key.split('.');
    if (of !== group) lines.push('', `${of}:`);
    group = of;
    const entry = entries.get(key);
    const value = secret && entry?.value !== null ? '(secret)' : yamlText(resolved.get(key));
    lines.push(`  ${name}: ${value} # ${originOf(entry, resolved.get(key))}`);
  }
  return `${lines.join('\n')}\n`;
}

function originOf(entry: Entry | undefined, value: unknown): string {
  const origin = entry?.origin ?? '';
  // A default may stand for something else, as null does for the folder's name.
  return entry?.value === null && value !== null ? `${origin}: null` : origin;
}

/** JSON is YAML; bare words are easier to read. */
function yamlText(value: unknown): string {
  return typeof value === 'string' && /^[a-z/][\w./-]*$/i.test(value) && !/^(null|true|false|yes|no|on|off|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value);
}
