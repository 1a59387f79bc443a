import { readdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { sentBy, withKeysOf } from '../e2e/api-keys.js';
import { Client, small } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { readLedger } from '../e2e/ledger.js';
import { residentBytes } from '../e2e/memory.js';
import { eventually, newJobsFolder, Server } from '../e2e/server.js';

/** As little work as there can be. */
const tiny = { prompt: 'a red circle', seed: 1, width: 32, height: 32, num_inference_steps: 2 };
const long = { ...small, num_inference_steps: 200 };
const names = ['alice', 'bob', 'carol'];
const requests = 300;
const maxPending = 30;

/** What V8 may let lie before it collects: three times 16 MiB, and as much again for what hangs on it outside its heap. */
const youngGenerationBytes = 2 * 3 * 16 * 1024 ** 2;

interface Refusal {
  status: number;
  code: string;
  retryAfter: string | null;
}

describe('more requests than there is room for', () => {
  let server: Server;
  let asBefore: Buffer;
  const client = (name: string) => new Client(server, sentBy(name));
  beforeAll(async () => {
    const limits = [`queue.maxPending=${maxPending}`, 'queue.maxPendingPerClient=20'];
    server = await Server.ready(...withKeysOf(...names), ...limits.flatMap((limit) => ['--set', limit]));
    asBefore = await client('alice').file(small);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it(`are refused, ${requests} at once, and those that are accepted come to their end`, async () => {
    const before = await readLedger(server.url, sentBy('alice'));
    // Until the queue has been full.
    server.pauseHost();
    const running = client('alice').postJson(long);
    await client('alice').queueIs({ running: 1 });
    let deepest = 0;
    const over = new AbortController();
    const watch = (async () => {
      while (!over.signal.aborted) deepest = Math.max(deepest, (await readLedger(server.url, sentBy('bob'))).pending);
    })();
    const refused: Refusal[] = [];
    const drawn: Buffer[] = [];
    const send = async (i: number) => {
      const answer = await client(names[i % 3]!).postJson(tiny, { accept: 'image/png' });
      if (answer.status === 200) return void drawn.push(Buffer.from(await answer.arrayBuffer()));
      const { error } = (await answer.json()) as { error: { code: string } };
      return void refused.push({ status: answer.status, code: error.code, retryAfter: answer.headers.get('retry-after') });
    };
    const sent = Promise.all(Array.from({ length: requests }, (_, i) => send(i)));
    await eventually('one is refused', () => refused.length > 0);
    server.resumeHost();
    await sent;
    expect((await running).status).toBe(200);
    over.abort();
    await watch;

    expect(refused.length + drawn.length).toBe(requests);
    expect(drawn.length).toBeGreaterThanOrEqual(maxPending);
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, code, retryAfter } of refused) {
      expect([status, code]).toEqual([429, 'QUEUE_FULL']);
      expect(retryAfter).toMatch(/^[1-9]\d*$/);
    }
    expect(new Set(drawn.map((file) => file.toString('base64'))).size).toBe(1);
    expect(deepest).toBeGreaterThan(1);
    expect(deepest).toBeLessThanOrEqual(maxPending);
    const after = await readLedger(server.url, sentBy('alice'));
    expect(after.accepted - before.accepted).toBe(drawn.length + 1);
    expect(after.ended).toEqual({ ...before.ended, completed: before.ended.completed + drawn.length + 1 });
    const metrics = await (await client('carol').get('/metrics')).text();
    expect(metrics).toContain(`\nqwen_image_requests_rejected_total{reason="QUEUE_FULL"} ${refused.length}\n`);
  });

  it('leave room for others, and a service that draws what it drew before', async () => {
    for (const name of names) expect((await client(name).file(small)).equals(asBefore)).toBe(true);
  });
});

describe('addresses, where there are no keys', () => {
  /** As from another machine: all of 127.0.0.0/8 is this one. */
  function postFrom(port: number, localAddress: string, fields: object): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const post = request({
        port,
        host: '127.0.0.1',
        localAddress,
        method: 'POST',
        path: '/text-to-image',
        headers,
        agent: false,
      });
      post.on('response', (answer) => answer.resume().on('end', () => resolve(answer.statusCode ?? 0))).on('error', reject);
      post.end(JSON.stringify(fields));
    });
  }

  it('have as much room each, and one does not take the other’s', async () => {
    const server = await Server.ready('--set', 'queue.maxPendingPerClient=3', '--set', 'queue.maxPending=7');
    const client = new Client(server);
    // No place becomes free before all have come.
    server.pauseHost();
    const running = postFrom(server.port, '127.0.0.1', long);
    await client.queueIs({ running: 1 });
    const statuses = new Map<string, number[]>();
    const post = async (address: string) => {
      const status = await postFrom(server.port, address, tiny);
      statuses.set(address, [...(statuses.get(address) ?? []), status]);
    };
    // The third finds one place that is left of all.
    const addresses = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
    const posts = addresses.flatMap((address) => Array.from({ length: 20 }, () => post(address)));
    const answered = () => [...statuses.values()].flat();
    await eventually('all but those that wait are answered', () => answered().length >= posts.length - 7);
    expect(new Set(answered())).toEqual(new Set([429]));
    await client.queueIs({ running: 1, pending: 7 });
    server.resumeHost();
    await Promise.all(posts);
    expect(await running).toBe(200);
    const counts = addresses.map((address) => statuses.get(address)!.filter((status) => status === 200).length);
    const sum = counts.reduce((total, count) => total + count, 0);
    expect(Math.max(...counts)).toBe(3);
    expect(sum).toBe(7);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
});

describe('jobs that have ended', () => {
  it('are forgotten after their time, with all their files, and hold no memory', async () => {
    const folder = newJobsFolder();
    const settings = ['jobs.ttlMs=4000', `queue.maxPending=${requests}`, `queue.maxPendingPerClient=${requests}`];
    const server = await Server.ready(...[`jobs.directory=${folder}`, ...settings].flatMap((setting) => ['--set', setting]));
    const jobs = new Jobs(server);
    const folders = () => readdirSync(folder).filter((name) => /^[\da-f]{8}-/.test(name));
    const rounds: number[] = [];
    const ids: string[] = [];
    for (let round = 0; round < 3; round++) {
      const submitted = await Promise.all(Array.from({ length: requests / 3 }, () => jobs.submit(tiny)));
      ids.push(...submitted.map(({ id }) => id));
      expect((await jobs.ended(ids.at(-1)!)).status).toBe('completed');
      rounds.push(residentBytes(server.pid));
    }
    const last = await jobs.read(ids.at(-1)!);
    expect(folders()).toContain(last.id);
    await eventually('all are forgotten', () => folders().length === 0);
    const answers = await Promise.all(ids.map((id) => jobs.ask('GET', `/jobs/${id}`)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
    expect((await jobs.ask('GET', last.images[0]!.url)).status).toBe(404);
    expect(rounds[2]! - rounds[0]!).toBeLessThan(youngGenerationBytes);
    expect(await readLedger(server.url)).toMatchObject({ accepted: requests, ended: { completed: requests } });
    expect(await server.stop()).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true });
  });
});
