import type { ConfigFault } from './config.error.js';
import type { Entry } from './config-source.js';

interface Rule {
  keys: readonly [string, string];
  holds: (first: unknown, second: unknown) => boolean;
  message: (first: unknown, second: unknown) => string;
}

/** Sides are multiples of what a latent patch covers: 16 pixels with the VAE of every released model. */
const sideMultiple = 16;

function leastSide(minSide: unknown): number {
  return Math.ceil(Number(minSide) / sideMultiple) * sideMultiple;
}

const rules: readonly Rule[] = [
  {
    keys: ['limits.minSide', 'limits.maxSide'],
    holds: (minSide, maxSide) => Number(minSide) <= Number(maxSide),
    message: (minSide, maxSide) => `limits.minSide (${String(minSide)}) must not be above limits.maxSide (${String(maxSide)})`,
  },
  {
    keys: ['limits.minSide', 'limits.maxSide'],
    holds: (minSide, maxSide) => Number(minSide) > Number(maxSide) || leastSide(minSide) <= Number(maxSide),
    message: (minSide, maxSide) =>
      `no multiple of ${sideMultiple}, which sides are, lies between limits.minSide (${String(minSide)}) and limits.maxSide (${String(maxSide)})`,
  },
  {
    keys: ['limits.minSide', 'limits.maxPixels'],
    holds: (minSide, maxPixels) => leastSide(minSide) ** 2 <= Number(maxPixels),
    message: (minSide, maxPixels) =>
      `limits.maxPixels (${String(maxPixels)}) must hold a square of limits.minSide (${String(minSide)}), rounded up to a multiple of ${sideMultiple}`,
  },
  {
    keys: ['limits.maxUploadBytes', 'limits.uploadBytesInFlight'],
    holds: (maxUploadBytes, uploadBytesInFlight) => Number(maxUploadBytes) <= Number(uploadBytesInFlight),
    message: (maxUploadBytes, uploadBytesInFlight) =>
      `limits.uploadBytesInFlight (${String(uploadBytesInFlight)}) must hold a file of limits.maxUploadBytes (${String(maxUploadBytes)})`,
  },
  {
    keys: ['rateLimit.storage', 'redis.url'],
    holds: (storage, url) => storage !== 'redis' || url !== null,
    message: () => 'redis needs redis.url',
  },
];

/** Rules between settings; a fault names the setting that a person changed. Values are allowed ones each by itself. */
export function crossCheck(entries: ReadonlyMap<string, Entry>, defaults: ReadonlyMap<string, Entry>): ConfigFault[] {
  const faults: ConfigFault[] = [];
  for (const { keys, holds, message } of rules) {
    const [first, second] = [entries.get(keys[0])?.value, entries.get(keys[1])?.value];
    if (holds(first, second)) continue;
    const key = keys.find((name) => entries.get(name) !== defaults.get(name)) ?? keys[0];
    faults.push({ key, origin: entries.get(key)?.origin ?? '', message: message(first, second) });
  }
  return faults;
}
