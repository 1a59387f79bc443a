import { ServiceError } from '../service.error.js';

export interface QueueLimits {
  maxPending: number;
  maxPendingPerClient: number;
}

/** What is in the queue when somebody comes. */
export interface Crowd {
  /** All that wait. */
  waiting: number;
  /** Those of the client that comes. */
  ofClient: number;
  isRunning: boolean;
  /** Until one of them is likely to have ended. */
  freeInMs: number;
}

/** Who may come in: places are kept for jobs that are still being stored, so that no more are accepted than may wait. */
export class QueueRoom {
  /** One for each place that is kept, until it is not any more. */
  readonly kept = new Set<Promise<void>>();
  private readonly keptOf = new Map<string, number>();

  constructor(readonly limits: QueueLimits) {}

  /** @throws ServiceError QUEUE_FULL */
  assertFree(client: string, { waiting, ofClient, isRunning, freeInMs }: Crowd): void {
    const { maxPending, maxPendingPerClient } = this.limits;
    const all = waiting + this.kept.size;
    const own = ofClient + (this.keptOf.get(client) ?? 0);
    // While nothing runs, one of those that wait does so for a moment only.
    if (all + (isRunning ? 1 : 0) > maxPending) {
      throw full(crowdText(all, maxPending), freeInMs);
    }
    const isAlone = !isRunning && all === own;
    if (own + (isAlone ? 0 : 1) > maxPendingPerClient) {
      throw full(crowdText(own, maxPendingPerClient, ' of this client'), freeInMs);
    }
  }

  /** Keeps a place until the function is called that is given back. */
  keep(client: string): () => void {
    this.count(client, 1);
    let decide = () => {};
    const decided = new Promise<void>((resolve) => (decide = resolve));
    this.kept.add(decided);
    return () => {
      this.kept.delete(decided);
      this.count(client, -1);
      decide();
    };
  }

  private count(client: string, change: 1 | -1): void {
    const count = (this.keptOf.get(client) ?? 0) + change;
    if (count === 0) this.keptOf.delete(client);
    else this.keptOf.set(client, count);
  }
}

function crowdText(count: number, most: number, whose = ''): string {
  if (most === 0) return `the engine is busy, and no request${whose} may wait`;
  const waiting = count === 1 ? `1 request${whose} is` : `${count} requests${whose} are`;
  return `${waiting} waiting already, at most ${most} may`;
}

function full(message: string, freeInMs: number): ServiceError {
  return new ServiceError('QUEUE_FULL', message, { retryAfterS: Math.max(1, Math.ceil(freeInMs / 1000)) });
}
