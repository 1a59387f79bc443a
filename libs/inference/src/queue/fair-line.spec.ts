import { Random } from '../../../../test/fault/random.js';
import { FairLine, type LineEntry } from './fair-line.js';

let count = 0;

function entry(client: string, expectedMs: number | null = null): LineEntry {
  return { id: `${client}-${++count}`, client, expectedMs, leastMs: (expectedMs ?? 0) / 2 };
}

interface Waiting {
  entry: LineEntry;
  arrival: number;
}

/** The same rule, said in the plainest way: rounds are dealt out anew at each look. */
class NaiveLine {
  private waiting: Waiting[] = [];
  /** The round of each client's next turn. */
  private readonly turns = new Map<string, number>();
  private round = 0;
  private arrivals = 0;

  push(entry: LineEntry): void {
    if (!this.waiting.some((other) => other.entry.client === entry.client)) {
      this.turns.set(entry.client, Math.max(this.turns.get(entry.client) ?? 0, this.round));
    }
    this.waiting.push({ entry, arrival: this.arrivals++ });
  }

  remove(id: string): void {
    this.waiting = this.waiting.filter(({ entry }) => entry.id !== id);
  }

  shift(): LineEntry | undefined {
    const [next] = this.order();
    if (!next) return undefined;
    this.round = this.turns.get(next.client) ?? 0;
    this.turns.set(next.client, this.round + 1);
    this.remove(next.id);
    return next;
  }

  order(): LineEntry[] {
    const dealt = new Map(this.turns);
    const due = this.waiting.map(({ entry, arrival }) => {
      const round = dealt.get(entry.client) ?? 0;
      dealt.set(entry.client, round + 1);
      return { entry, arrival, round };
    });
    return due.sort((a, b) => a.round - b.round || a.arrival - b.arrival).map(({ entry }) => entry);
  }
}

describe(FairLine.name, () => {
  it('finds an entry without looking at those before it', () => {
    const line = new FairLine();
    let looks = 0;
    const ids = Array.from({ length: 10_000 }, (_, index) => `a-${index}`);
    for (const id of ids) {
      line.push({
        get id() {
          looks += 1;
          return id;
        },
        client: 'a',
        expectedMs: null,
        leastMs: 0,
      });
    }
    looks = 0;
    expect(line.placeOf('a-9000', 0)?.position).toBe(9001);
    expect(line.remove('a-9000')).toBeDefined();
    expect(line.placeOf('a-9001', 0)?.position).toBe(9001);
    expect(looks).toBeLessThan(10);
  });

  it('serves one of each client in turn, and each client in the order in which it came', () => {
    const line = new FairLine();
    for (const client of ['a', 'a', 'a', 'b', 'c', 'b']) line.push(entry(client));
    expect(line.drain().map(({ client }) => client)).toEqual(['a', 'b', 'c', 'a', 'b', 'a']);
    expect(line.length).toBe(0);
  });

  it('lets one request pass all but the first of fifty', () => {
    const line = new FairLine();
    for (let i = 0; i < 50; i++) line.push(entry('many'));
    line.shift();
    const one = entry('one');
    line.push(one);
    expect(line.placeOf(one.id, 0)?.position).toBe(1);
    expect(line.shift()).toBe(one);
  });

  it('gives no turns for the time in which a client asked for nothing', () => {
    const line = new FairLine();
    for (let i = 0; i < 10; i++) line.push(entry('a'));
    line.push(entry('b'));
    for (let i = 0; i < 8; i++) line.shift();
    line.push(entry('b'));
    line.push(entry('b'));
    expect(line.drain().map(({ client }) => client)).toEqual(['b', 'a', 'b', 'a', 'a']);
  });

  it('gives whoever comes again after each answer no more turns than the others', () => {
    const line = new FairLine();
    for (let i = 0; i < 10; i++) line.push(entry('many'));
    const served: string[] = [];
    for (let i = 0; i < 10; i++) {
      if (line.lengthOf('again') === 0) line.push(entry('again'));
      served.push(line.shift()?.client ?? '');
    }
    expect(served.filter((client) => client === 'again')).toHaveLength(5);
  });

  it('reckons what is ahead, with the usual time for what is not known', () => {
    const line = new FairLine();
    line.push(entry('a', 1000));
    line.push(entry('a'));
    const last = entry('a', 300);
    line.push(last);
    expect(line.placeOf(last.id, 500)).toEqual({ position: 3, aheadMs: 2 * ((1000 + 500 + 300) / 3) });
    expect(line.placeOfNext('b', 500)).toEqual({ position: 2, aheadMs: 600 });
    expect(line.placeOf('nobody', 500)).toBeNull();
  });

  it('tells what is ahead at least by those that are, not by those behind them', () => {
    const line = new FairLine();
    line.push(entry('a', 20));
    line.push(entry('a', 200_000));
    expect(line.leastAheadOfNext('b')).toBe(10);
    expect(line.leastAheadOfNext('a')).toBe(100_010);
  });

  it('forgets clients that have gone', () => {
    const line = new FairLine();
    for (let i = 0; i < 1000; i++) {
      line.push(entry(`client ${i}`));
      line.push(entry('always'));
      line.shift();
      line.shift();
    }
    line.drain();
    line.push(entry('last'));
    line.push(entry('last'));
    line.drain();
    const { size } = (line as unknown as { clients: Map<string, unknown> }).clients;
    expect(size).toBeLessThanOrEqual(2);
  });

  describe.each([1, 2, 3])('under random operations (seed %i)', (seed) => {
    const dice = new Random(seed);
    const below = (limit: number) => Math.floor(dice.next() * limit);
    // Some come often, some hardly ever.
    const somebody = () => `client ${below(1 + below(6))}`;

    it('does what the naive one does, and tells every place as it will be', () => {
      const line = new FairLine();
      const naive = new NaiveLine();
      for (let i = 0; i < 800; i++) {
        const order = naive.order();
        const roll = below(10);
        if (roll < 5 && order.length < 30) {
          const next = entry(somebody(), below(2) ? below(1000) : null);
          const { position } = line.placeOfNext(next.client, 0);
          line.push(next);
          naive.push(next);
          expect(line.placeOf(next.id, 0)?.position).toBe(position);
        } else if (roll < 8) {
          expect(line.shift()).toBe(naive.shift());
        } else if (order.length > 0) {
          const victim = dice.pick(order);
          expect(line.remove(victim.id)).toBe(victim);
          naive.remove(victim.id);
          expect(line.remove(victim.id)).toBeUndefined();
        }
        const left = naive.order();
        expect(line.length).toBe(left.length);
        expect([...line].map(({ id }) => id).sort()).toEqual(left.map(({ id }) => id).sort());
        expect(left.map(({ id }) => line.placeOf(id, 0)?.position)).toEqual(left.map((_, index) => index + 1));
      }
      const rest = naive.order();
      expect(line.drain()).toEqual(rest);
    });

    it('forgets nothing of the times that it sums up', () => {
      const line = new FairLine();
      for (let i = 0; i < 500; i++) line.push(entry(somebody(), below(2) ? below(1000) : null));
      for (let i = 0; i < 300; i++) line.shift();
      const own = [...line];
      const whole = own.reduce((sum, { expectedMs }) => sum + (expectedMs ?? 7), 0);
      // Behind everybody: a client whose next turn is after all others'.
      for (let i = 0; i < 1000; i++) line.push(entry('last', 0));
      const { aheadMs } = line.placeOf(`last-${count}`, 7)!;
      expect(aheadMs).toBeCloseTo(whole, 6);
    });
  });
});
