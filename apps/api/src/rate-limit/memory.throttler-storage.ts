import type { OnApplicationShutdown } from '@nestjs/common';
import type { ThrottlerStorage } from '@nestjs/throttler';
import type { StorageRecord } from './storage-record.js';

interface Client {
  /** When its requests in the window came, oldest first, on the clock of this process, which never jumps. */
  hits: number[];
  windowMs: number;
}

const sweepMs = 60_000;
/** Above it those that were quiet for longest are forgotten: memory is bounded, and nobody is refused wrongly. */
const mostClients = 100_000;

/** One count for this server alone. The library's own storage goes by the wall clock: set back by a day, it refuses a client for a day. */
export class MemoryThrottlerStorage implements ThrottlerStorage, OnApplicationShutdown {
  /** In the order of their latest hits. */
  private readonly clients = new Map<string, Client>();
  private sweeper: NodeJS.Timeout | null = null;

  constructor(private readonly maxClients = mostClients) {}

  /** Clients that are remembered. */
  get size(): number {
    return this.clients.size;
  }

  onApplicationShutdown(): void {
    if (this.sweeper) clearInterval(this.sweeper);
    this.sweeper = null;
    this.clients.clear();
  }

  increment(key: string, windowMs: number, limit: number): Promise<StorageRecord> {
    const now = performance.now();
    const hits = (this.clients.get(key)?.hits ?? []).filter((time) => now - time < windowMs);
    const totalHits = hits.length + 1;
    const isBlocked = totalHits > limit;
    if (!isBlocked) {
      hits.push(now);
      this.keep(key, { hits, windowMs });
    }
    // The age first: of a sum of fractions the seconds may be one too many.
    const seconds = Math.ceil((windowMs - (now - (hits[0] ?? now))) / 1000);
    return Promise.resolve({ totalHits, timeToExpire: seconds, isBlocked, timeToBlockExpire: isBlocked ? seconds : 0 });
  }

  private keep(key: string, client: Client): void {
    this.clients.delete(key);
    this.clients.set(key, client);
    const [quietest] = this.clients.keys();
    if (this.clients.size > this.maxClients && quietest !== undefined) this.clients.delete(quietest);
    // A client that does not come again is forgotten too.
    this.sweeper ??= setInterval(() => this.sweep(), sweepMs).unref();
  }

  private sweep(): void {
    const now = performance.now();
    for (const [key, { hits, windowMs }] of this.clients) {
      if (now - (hits.at(-1) ?? -Infinity) >= windowMs) this.clients.delete(key);
    }
  }
}
