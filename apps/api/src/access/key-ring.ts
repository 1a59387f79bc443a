import type { ApiKey } from '@app/config';
import { createHash, timingSafeEqual } from 'node:crypto';

/** Knows keys by their hashes. How long a look takes tells nothing: neither which key was near, nor whether one was. */
export class KeyRing {
  private readonly entries: readonly { key: ApiKey; hash: Buffer }[];

  constructor(keys: readonly ApiKey[]) {
    this.entries = keys.map((key) => ({ key, hash: Buffer.from(key.sha256, 'hex') }));
  }

  find(secret: string): ApiKey | null {
    // Node reads headers as Latin-1: so these are the bytes that were sent.
    const hash = createHash('sha256').update(secret, 'latin1').digest();
    let found: ApiKey | null = null;
    for (const entry of this.entries) if (timingSafeEqual(entry.hash, hash)) found = entry.key;
    return found;
  }
}
