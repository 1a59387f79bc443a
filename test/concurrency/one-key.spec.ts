import { rmSync } from 'node:fs';
import { sentBy, withKeysOf } from '../e2e/api-keys.js';
import { Client, errorOf, pictureOf, small, type ImageAnswer } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { readLedger } from '../e2e/ledger.js';
import { Lives } from '../e2e/lives.js';
import { newJobsFolder, Server } from '../e2e/server.js';

const clientCount = 20;
const long = { ...small, num_inference_steps: 100 };
let keys = 0;
const newKey = () => ({ 'idempotency-key': `key ${++keys}` });
const png = { accept: 'image/png' };

async function bytesOf(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer());
}

describe('one Idempotency-Key', () => {
  let server: Server;
  let client: Client;
  let jobs: Jobs;
  beforeAll(async () => {
    server = await Server.ready(...withKeysOf('alice', 'bob'));
    client = new Client(server, sentBy('alice'));
    jobs = new Jobs(server, sentBy('alice'));
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const accepted = async () => (await readLedger(server.url, sentBy('alice'))).accepted;

  it(`of ${clientCount} clients at once is one job, and nobody else's seed`, async () => {
    const before = await accepted();
    const unseeded = { ...small, seed: undefined };
    const headers = { ...newKey(), ...png };
    const answers = await Promise.all(Array.from({ length: clientCount }, () => client.postJson(unseeded, headers)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    for (const header of ['x-job-id', 'x-seed']) expect(new Set(answers.map(({ headers }) => headers.get(header))).size).toBe(1);
    const files = await Promise.all(answers.map(bytesOf));
    expect(new Set(files.map((file) => file.toString('base64'))).size).toBe(1);
    expect((await accepted()) - before).toBe(1);
    // Nor when it has ended.
    expect((await bytesOf(await client.postJson(unseeded, headers))).equals(files[0]!)).toBe(true);
    expect((await accepted()) - before).toBe(1);
  });

  it('is each caller’s in the form that it asks for, of the same pixels', async () => {
    const before = await accepted();
    const key = newKey();
    const accepts = ['image/png', 'image/jpeg', 'image/webp', 'application/json', 'image/webp, image/png'];
    const [follower, ...answers] = await Promise.all([
      jobs.submit(small, key),
      ...accepts.map((accept) => client.postJson(small, { ...key, accept })),
    ]);
    expect(answers.map(({ status, headers }) => [status, headers.get('content-type')?.split(';')[0]])).toEqual([
      [200, 'image/png'],
      [200, 'image/jpeg'],
      [200, 'image/webp'],
      [200, 'application/json'],
      [200, 'image/webp'],
    ]);
    expect(new Set([follower.id, ...answers.map(({ headers }) => headers.get('x-job-id'))]).size).toBe(1);
    expect((await accepted()) - before).toBe(1);
    const [asPng, asJpeg, asWebp, asJson, asWebpToo] = await Promise.all(answers.map(bytesOf));
    const { images } = JSON.parse(asJson!.toString()) as ImageAnswer;
    expect(Buffer.from(images[0]!.b64_json, 'base64').equals(asPng!)).toBe(true);
    expect((await jobs.picture(follower.id)).equals(asPng!)).toBe(true);
    expect(asWebpToo!.equals(asWebp!)).toBe(true);
    // As if it had been asked for in that form first.
    for (const [accept, file] of [
      ['image/jpeg', asJpeg!],
      ['image/webp', asWebp!],
    ] as const) {
      const drawnSo = await pictureOf(await bytesOf(await client.postJson(small, { accept })));
      expect((await pictureOf(file)).data.equals(drawnSo.data)).toBe(true);
    }
  });

  it('with another body is a conflict, among any number at once', async () => {
    const before = await accepted();
    const key = newKey();
    const bodies = Array.from({ length: clientCount }, (_, i) => (i % 2 === 0 ? small : { ...small, seed: 2 }));
    const answers = await Promise.all(bodies.map((body) => client.postJson(body, { ...key, ...png })));
    const right = answers.filter(({ status }) => status === 200);
    const wrong = answers.filter(({ status }) => status === 409);
    // Whichever came first has it.
    expect([right.length, wrong.length]).toEqual([clientCount / 2, clientCount / 2]);
    expect(new Set(right.map(({ headers }) => headers.get('x-job-id'))).size).toBe(1);
    for (const answer of wrong) {
      expect(answer.headers.get('x-should-retry')).toBe('false');
      expect((await errorOf(answer)).code).toBe('IDEMPOTENCY_CONFLICT');
    }
    expect((await accepted()) - before).toBe(1);
  });

  it('of a request that is refused is nobody’s yet', async () => {
    const key = newKey();
    const wrong = { ...small, width: 65 };
    const refused = await Promise.all([1, 2, 3].map(() => client.postJson(wrong, key)));
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 400]);
    expect((await client.postJson(small, key)).status).toBe(200);
  });

  it('outlives those who leave while one stays, and each who leaves alone comes back to it', async () => {
    const before = await accepted();
    const key = newKey();
    server.pauseHost();
    const leave = Array.from({ length: 5 }, () => new AbortController());
    const leaving = leave.map(({ signal }) => client.postJson(long, { ...key, ...png }, signal).catch(() => 'left'));
    const staying = client.postJson(long, { ...key, ...png });
    await client.queueIs({ running: 1 });
    leave.forEach((one) => one.abort());
    expect(await Promise.all(leaving)).toEqual(leave.map(() => 'left'));
    const back = client.postJson(long, { ...key, ...png });
    server.resumeHost();
    const [a, b] = await Promise.all([staying.then(bytesOf), back.then(bytesOf)]);
    expect(a.equals(b)).toBe(true);
    expect((await accepted()) - before).toBe(1);
  });

  it('starts anew after its job was cancelled, by whichever of many asks first', async () => {
    const before = await accepted();
    const key = newKey();
    server.pauseHost();
    const { id } = await jobs.submit(long, key);
    const waits = client.postJson(long, key);
    await client.queueIs({ running: 1 });
    await jobs.cancel(id);
    server.resumeHost();
    expect(await errorOf(await waits)).toMatchObject({ status: 499, code: 'CANCELLED' });
    const anew = await Promise.all(Array.from({ length: 5 }, () => client.postJson(long, { ...key, ...png })));
    const ids = new Set(anew.map(({ headers }) => headers.get('x-job-id')));
    expect([ids.size, ids.has(id)]).toEqual([1, false]);
    expect((await accepted()) - before).toBe(2);
  });

  it('of another API key is another job', async () => {
    const key = newKey();
    const bob = new Client(server, sentBy('bob'));
    const answers = await Promise.all([client.postJson(small, key), bob.postJson({ ...small, seed: 2 }, key)]);
    expect(answers.map(({ status, headers }) => [status, headers.get('x-seed')])).toEqual([
      [200, '1'],
      [200, '2'],
    ]);
  });
});

describe('a server that ends', () => {
  const folder = newJobsFolder();
  const lives = new Lives(folder, ['server.shutdownGraceMs=100']);
  let undisturbed: Buffer;
  beforeAll(async () => {
    undisturbed = await new Client(await lives.begin()).file(long);
  });
  afterAll(async () => {
    expect(await (await lives.server()).stop()).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true });
  });

  const client = async () => new Client(await lives.server());
  const jobs = async () => new Jobs(await lives.server());

  async function restartAfter(signal: NodeJS.Signals): Promise<void> {
    const server = await lives.server();
    const ended = lives.end(signal);
    if (signal === 'SIGTERM') {
      await server.logged(/^stopping/);
      server.resumeHost();
    }
    await ended;
    server.resumeHost();
    await lives.begin();
  }

  /** What came of a request: its status, or that its connection was lost. */
  const statusOf = (answer: Promise<Response>) =>
    answer.then(
      ({ status }) => status,
      () => 'connection lost',
    );

  it.each(['SIGKILL', 'SIGTERM'] as const)('by %s leaves all that somebody may come back for to the next', async (signal) => {
    const [running, waiting, seedless] = [newKey(), newKey(), newKey()];
    const [first, firstJobs] = [await client(), await jobs()];
    const unseeded = { ...long, seed: undefined };
    // None comes to its end before the server does.
    (await lives.server()).pauseHost();
    const sent = [statusOf(first.postJson(long, running))];
    await first.queueIs({ running: 1, pending: 0 });
    sent.push(statusOf(first.postJson(long, waiting)), statusOf(first.postJson(long)));
    const [asked, chosen] = [await firstJobs.submit(long), await firstJobs.submit(unseeded, seedless)];
    await first.queueIs({ running: 1, pending: 4 });

    await restartAfter(signal);
    expect(await Promise.all(sent)).toEqual(Array(3).fill(signal === 'SIGKILL' ? 'connection lost' : 503));
    const [next, nextJobs] = [await client(), await jobs()];
    const files = [next.file(long, running), next.file(long, waiting), nextJobs.picture(asked.id)];
    expect((await Promise.all(files)).map((file) => file.equals(undisturbed))).toEqual([true, true, true]);
    const answer = await next.postJson(unseeded, { ...seedless, ...png });
    const { seed } = chosen.parameters;
    expect([answer.headers.get('x-job-id'), answer.headers.get('x-seed')]).toEqual([chosen.id, String(seed)]);
    const drawn = await pictureOf(await bytesOf(answer));
    expect(drawn.data.equals((await pictureOf(await next.file({ ...long, seed }))).data)).toBe(true);
    // The plain one was interrupted; those that this server ended by itself did not run in vain.
    const { accepted, ended } = await readLedger((await lives.server()).url);
    expect({ accepted, ended }).toEqual(
      signal === 'SIGKILL'
        ? { accepted: 6, ended: { completed: 5, failed: 1, cancelled: 0 } }
        : { accepted: 5, ended: { completed: 5, failed: 0, cancelled: 0 } },
    );
    expect(await nextJobs.read(asked.id)).toMatchObject({ attempt: 1 });
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)('by %s does not draw again what was drawn', async (signal) => {
    const key = newKey();
    expect((await (await client()).file(long, key)).equals(undisturbed)).toBe(true);
    await restartAfter(signal);
    expect((await (await client()).file(long, key)).equals(undisturbed)).toBe(true);
    expect(await readLedger((await lives.server()).url)).toMatchObject({ accepted: 0 });
    expect(await errorOf(await (await client()).postJson(small, key))).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
  });
});
