import { rmSync } from 'node:fs';
import { ChaosClient, manners, type Manner } from '../e2e/chaos-client.js';
import { Client } from '../e2e/client.js';
import { drawEachAlone, type Drawing } from '../e2e/drawing.js';
import { endedOf, readLedger } from '../e2e/ledger.js';
import { Lives } from '../e2e/lives.js';
import { Probe } from '../e2e/probe.js';
import { eventually, newJobsFolder } from '../e2e/server.js';
import { Random } from '../fault/random.js';

const seed = Number(process.env.QWEN_FAULT_SEED ?? Date.now() % 100_000);
const clientCount = 50;

const prompt = 'a red circle';
const drawings: readonly Drawing[] = [
  { prompt, seed: 1, width: 32, height: 32, num_inference_steps: 2 },
  { prompt: 'a blue square', seed: 2, width: 64, height: 64, num_inference_steps: 4 },
  { prompt, seed: 3, width: 96, height: 64, num_inference_steps: 5, num_images: 2 },
  { prompt, seed: 4, width: 48, height: 112, num_inference_steps: 3, num_images: 3 },
  { prompt: 'ein grüner Kreis', seed: Number.MAX_SAFE_INTEGER, width: 64, height: 64, num_inference_steps: 20 },
  { prompt: ' ', seed: 0, width: 128, height: 128, num_inference_steps: 2 },
];

/** How each manner may end. */
const ends: Readonly<Record<Manner, readonly string[]>> = {
  plain: ['completed'],
  'plain, leaves': ['completed', 'left'],
  keyed: ['completed'],
  'keyed, leaves': ['completed'],
  'async, asks': ['completed'],
  'async, reads events': ['completed'],
  'async, cancels': ['completed', 'CANCELLED'],
  'in a hurry': ['completed', 'DEADLINE_EXCEEDED'],
  wrong: ['INVALID_ARGUMENT'],
};

describe(`${clientCount} clients at once (seed ${seed})`, () => {
  const folder = newJobsFolder();
  // Two jobs each: one that a client has left may wait beside the next.
  const lives = new Lives(folder, [`queue.maxPending=${2 * clientCount}`]);
  let alone: ReadonlyMap<string, string>;
  let clients: ChaosClient[] = [];
  let probe: Probe;
  beforeAll(async () => {
    alone = await drawEachAlone(new Client(await lives.begin()), drawings);
    clients = Array.from({ length: clientCount }, (_, i) => new ChaosClient(lives, new Random(seed + i), drawings));
    probe = new Probe(lives);
  });
  afterAll(async () => {
    expect(await (await lives.server()).stop()).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true });
  });

  const stories = () => clients.flatMap((client) => client.stories);

  it('each come to an end', async () => {
    // Every manner at once, then whatever comes.
    await Promise.all(
      clients.map(async (client, i) => {
        await client.tellOne(manners[i % manners.length]);
        await client.tellOne();
      }),
    );
    for (const { manner, end } of stories())
      expect({ manner, end: ends[manner].includes(end) ? 'fine' : end }).toEqual({ manner, end: 'fine' });
    expect(new Set(stories().map(({ manner }) => manner)).size).toBe(manners.length);
  });

  it('are all in the ledger, which balanced at every look', async () => {
    const { url } = await lives.server();
    await eventually('nobody is waited for any more', async () => {
      const { pending, running } = await readLedger(url);
      return pending + running === 0;
    });
    await probe.stop();
    expect(probe.faults).toEqual([]);
    expect(probe.answers.metrics).toBeGreaterThan(5);
    const ledger = await readLedger(url);
    expect(ledger.accepted).toBe(endedOf(ledger));
    const count = (end: string) => stories().filter((story) => story.end === end).length;
    // Who left knows nothing of the end; all others do.
    expect(ledger.ended.completed - alone.size - count('completed')).toBeGreaterThanOrEqual(0);
    expect(ledger.ended.completed - alone.size - count('completed')).toBeLessThanOrEqual(count('left'));
    expect(ledger.ended.failed).toBeLessThanOrEqual(count('DEADLINE_EXCEEDED'));
    expect(ledger.ended.cancelled - count('CANCELLED')).toBeLessThanOrEqual(count('left'));
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain(`\nqwen_image_requests_rejected_total{reason="INVALID_ARGUMENT"} ${count('INVALID_ARGUMENT')}\n`);
  });

  it('get the very pictures that are drawn alone', () => {
    const drawn = stories().flatMap(({ pictures }) => pictures);
    expect(drawn.length).toBeGreaterThan(clientCount);
    expect(new Set(drawn.map(({ of }) => of)).size).toBe(alone.size);
    for (const { of, sha256 } of drawn) expect({ of, sha256 }).toEqual({ of, sha256: alone.get(of) });
  });

  it('change no picture that is drawn after them', async () => {
    expect(await drawEachAlone(new Client(await lives.server()), drawings)).toEqual(alone);
  });
});
