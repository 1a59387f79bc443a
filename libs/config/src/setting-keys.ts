import { plannedKeys, settings, type Setting } from './settings.js';

const byKey = new Map(settings.map((setting) => [setting.key, setting]));
const allKeys = [...byKey.keys(), ...plannedKeys];

/** `rateLimit.limit` is `QWEN_RATE_LIMIT_LIMIT` in the environment. */
export function variableName(key: string): string {
  return `QWEN_${key.replace(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase()}`;
}

export function findSetting(key: string): Setting | undefined {
  return byKey.get(key);
}

/** `limits` holds `limits.minSide`. */
export function isGroup(key: string): boolean {
  return allKeys.some((known) => known.startsWith(`${key}.`));
}

/** Why a key cannot be set; `spell` writes a key as its source does (`server.port`, `QWEN_SERVER_PORT`). */
export function explainUnknown(key: string, spell: (key: string) => string = (name) => name): string {
  const planned = plannedKeys.map(spell);
  if (planned.some((name) => key === name || key.startsWith(`${name}.`))) return 'is not built yet';
  const nearest = nearestOf(key, [...byKey.keys()].map(spell));
  return nearest ? `is no setting; did you mean ${nearest}?` : 'is no setting';
}

/** The known name that was most likely meant: one that differs by a typo, or the only one that ends like it. */
export function nearestOf(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  if (best && best.distance <= Math.max(2, name.length / 5)) return best.candidate;
  const tail = name.split(/[._]/).at(-1) ?? name;
  const sameTail = known.filter((candidate) => candidate.split(/[._]/).at(-1)?.toLowerCase() === tail.toLowerCase());
  return sameTail.length === 1 ? sameTail[0] : undefined;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substituted = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substituted, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
