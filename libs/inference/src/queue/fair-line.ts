export interface LineEntry {
  id: string;
  /** Whose turn it takes. */
  client: string;
  /** How long it is likely to take; null: nothing is known yet. */
  expectedMs: number | null;
  /** How long it takes at least, by what is known. */
  leastMs: number;
}

export interface Place {
  /** 1 = next. */
  position: number;
  /** Of all before it, likely. */
  aheadMs: number;
}

interface Waiting<T> {
  entry: T;
  /** Order of arrival, over all clients. */
  arrival: number;
}

/** Enough to find an entry without looking at the others. */
interface Known {
  client: string;
  arrival: number;
}

interface ClientLine<T> {
  /** By arrival. */
  waiting: Waiting<T>[];
  /** The round in which its first one is due. */
  round: number;
  /** Sum over those of known duration, and how many those are. */
  knownMs: number;
  known: number;
}

/**
 * Who is next: one of each client in turn, within a client first come, first served. A client's turns are rounds: whoever comes
 * anew joins the round that is being served, and is before everyone who has had a turn in it. What a place costs to tell grows with clients,
 * hardly with entries.
 */
export class FairLine<T extends LineEntry> {
  private readonly clients = new Map<string, ClientLine<T>>();
  private readonly knownById = new Map<string, Known>();
  private currentRound = 0;
  private arrivals = 0;

  get length(): number {
    return this.knownById.size;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const { waiting } of this.clients.values()) for (const { entry } of waiting) yield entry;
  }

  lengthOf(client: string): number {
    return this.clients.get(client)?.waiting.length ?? 0;
  }

  push(entry: T): void {
    const line = this.lineOf(entry.client);
    const arrival = this.arrivals++;
    line.waiting.push({ entry, arrival });
    this.account(line, entry, 1);
    this.knownById.set(entry.id, { client: entry.client, arrival });
  }

  /** The next one, which is taken out. */
  shift(): T | undefined {
    const first = this.first();
    if (!first) return undefined;
    const [, line] = first;
    this.currentRound = line.round;
    line.round += 1;
    const waiting = line.waiting.shift();
    if (waiting) this.forget(line, waiting.entry);
    this.dropIdle();
    return waiting?.entry;
  }

  remove(id: string): T | undefined {
    const found = this.find(id);
    if (!found) return undefined;
    const { line, index } = found;
    const [removed] = line.waiting.splice(index, 1);
    if (removed) this.forget(line, removed.entry);
    return removed?.entry;
  }

  /** Everything, in the order in which it would be served. */
  drain(): T[] {
    const entries: T[] = [];
    for (let next = this.shift(); next; next = this.shift()) entries.push(next);
    return entries;
  }

  /** Where an entry stands; null when it is not here. `usualMs` stands for durations that are not known. */
  placeOf(id: string, usualMs: number): Place | null {
    const found = this.find(id);
    return found && this.placeAt(found.line.round + found.index, found.arrival, usualMs);
  }

  /** Where an entry of this client would stand that came now. */
  placeOfNext(client: string, usualMs: number): Place {
    return this.placeAt(this.roundOfNext(client), this.arrivals, usualMs);
  }

  /** What all before an entry of this client take at least that came now: one by one, for a mean may be more than that. */
  leastAheadOfNext(client: string): number {
    const round = this.roundOfNext(client);
    let leastMs = 0;
    for (const line of this.clients.values()) {
      const before = countBefore(line, round, this.arrivals);
      for (const { entry } of line.waiting.slice(0, before)) leastMs += entry.leastMs;
    }
    return leastMs;
  }

  private roundOfNext(client: string): number {
    const line = this.clients.get(client);
    return line ? Math.max(line.round, this.currentRound) + line.waiting.length : this.currentRound;
  }

  private find(id: string): { line: ClientLine<T>; index: number; arrival: number } | null {
    const known = this.knownById.get(id);
    const line = known && this.clients.get(known.client);
    if (!line) return null;
    const { arrival } = known;
    return { line, index: indexOf(line.waiting, arrival), arrival };
  }

  private placeAt(round: number, arrival: number, usualMs: number): Place {
    let [ahead, aheadMs] = [0, 0];
    for (const line of this.clients.values()) {
      const before = countBefore(line, round, arrival);
      ahead += before;
      if (before > 0) aheadMs += before * meanMs(line, usualMs);
    }
    return { position: ahead + 1, aheadMs };
  }

  private first(): [string, ClientLine<T>] | undefined {
    let best: [string, ClientLine<T>] | undefined;
    for (const candidate of this.clients) {
      if (candidate[1].waiting.length > 0 && (!best || isBefore(candidate[1], best[1]))) best = candidate;
    }
    return best;
  }

  private lineOf(client: string): ClientLine<T> {
    let line = this.clients.get(client);
    if (!line) {
      line = { waiting: [], round: this.currentRound, knownMs: 0, known: 0 };
      this.clients.set(client, line);
    }
    // Rounds in which it had nothing to ask for are not saved up.
    if (line.waiting.length === 0) line.round = Math.max(line.round, this.currentRound);
    return line;
  }

  private account(line: ClientLine<T>, { expectedMs }: T, sign: 1 | -1): void {
    if (expectedMs === null) return;
    line.knownMs += sign * expectedMs;
    line.known += sign;
  }

  private forget(line: ClientLine<T>, entry: T): void {
    this.account(line, entry, -1);
    this.knownById.delete(entry.id);
  }

  /** A client with nothing waiting is remembered as long as its last turn counts. */
  private dropIdle(): void {
    for (const [client, { waiting, round }] of this.clients) {
      if (waiting.length === 0 && round <= this.currentRound) this.clients.delete(client);
    }
  }
}

/** Of the one that came as `arrival`, which is among them. */
function indexOf<T>(waiting: readonly Waiting<T>[], arrival: number): number {
  let [low, high] = [0, waiting.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((waiting[middle]?.arrival ?? Infinity) < arrival) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore<T>(a: ClientLine<T>, b: ClientLine<T>): boolean {
  const [firstA, firstB] = [a.waiting[0], b.waiting[0]];
  if (!firstA || !firstB) return firstA !== undefined;
  return a.round === b.round ? firstA.arrival < firstB.arrival : a.round < b.round;
}

/** Entries of a line that are served before the one of `round` that came as `arrival`. */
function countBefore<T>({ waiting, round: firstRound }: ClientLine<T>, round: number, arrival: number): number {
  const earlier = Math.min(Math.max(0, round - firstRound), waiting.length);
  const sameRound = round >= firstRound ? waiting[earlier] : undefined;
  return earlier + (sameRound && sameRound.arrival < arrival ? 1 : 0);
}

function meanMs<T>({ waiting, knownMs, known }: ClientLine<T>, usualMs: number): number {
  return (knownMs + (waiting.length - known) * usualMs) / waiting.length;
}
