import type { ConfigFault } from './config.error.js';
import type { Entry } from './config-source.js';

interface Rule {
  keys: readonly [string, string];
  holds: (first: number, second: number) => boolean;
  message: (first: number, second: number) => string;
}

const rules: readonly Rule[] = [
  {
    keys: ['limits.minSide', 'limits.maxSide'],
    holds: (minSide, maxSide) => minSide <= maxSide,
    message: (minSide, maxSide) => `limits.minSide (${minSide}) must not be above limits.maxSide (${maxSide})`,
  },
  {
    keys: ['limits.minSide', 'limits.maxPixels'],
    holds: (minSide, maxPixels) => minSide ** 2 <= maxPixels,
    message: (minSide, maxPixels) => `limits.maxPixels (${maxPixels}) must hold a square of limits.minSide (${minSide})`,
  },
];

/** Rules between settings; a fault names the setting that a person changed. Values are allowed ones each by itself. */
export function crossCheck(entries: ReadonlyMap<string, Entry>, defaults: ReadonlyMap<string, Entry>): ConfigFault[] {
  const faults: ConfigFault[] = [];
  for (const { keys, holds, message } of rules) {
    const [first, second] = keys.map((key) => Number(entries.get(key)?.value)) as [number, number];
    if (holds(first, second)) continue;
    const key = keys.find((name) => entries.get(name) !== defaults.get(name)) ?? keys[0];
    faults.push({ key, origin: entries.get(key)?.origin ?? '', message: message(first, second) });
  }
  return faults;
}
