import { readdirSync } from 'node:fs';
import { answerOf, fixture, small } from '../e2e/client.js';
import { eventually, isRunning } from '../e2e/server.js';
import type { JobAnswer } from '../e2e/jobs.js';
import { hashOf, type JobClient } from './job-client.js';
import { Service } from './service.js';

/* SIGKILL of a server that has jobs of every kind and state, and what the next one makes of them. */

const long = { ...small, width: 128, height: 128, num_inference_steps: 40 };
/** The seed is the server's choice. */
const seedless = { prompt: small.prompt, width: 64, height: 48, num_inference_steps: 4 };

async function kill({ server }: JobClient): Promise<void> {
  const host = server.hostPid();
  server.kill('SIGKILL');
  expect(await server.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
  server.resumeHost();
  await eventually('the host has followed', () => !isRunning(host));
}

/** The same picture, drawn without a disturbance. */
async function drawnAgain(client: JobClient, { parameters: { seed } }: JobAnswer, fields: object): Promise<string> {
  return hashOf(await client.postJson({ ...fields, seed }, { accept: 'image/png' }));
}

/** What became of the connection of a request. */
function fate(answer: Promise<Response>): Promise<number | 'lost'> {
  return answer.then(
    ({ status }) => status,
    () => 'lost',
  );
}

describe('after a SIGKILL of the server', () => {
  let service: Service;
  beforeEach(() => (service = new Service()));
  afterEach(() => service.end());

  async function idOfPlain(before: readonly string[]): Promise<string> {
    const find = () => service.storedJobs().find(({ id, order }) => !before.includes(id) && !order.async && !order.idempotency);
    await eventually('the plain job is stored', () => find() !== undefined);
    return find()!.id;
  }

  async function expectInterrupted(client: JobClient, id: string): Promise<void> {
    const job = await client.job(id);
    expect(job).toMatchObject({ status: 'failed', images: [], error: { code: 'INTERRUPTED', type: 'server_error' } });
    expect(job.finished).toBeGreaterThanOrEqual(job.created);
    const reader = await client.events(id);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ name: 'failed', data: { id, error: { code: 'INTERRUPTED' } } });
    expect((await client.get(`/jobs/${id}/images/0`)).status).toBe(404);
  }

  it('an asynchronous job that ran and all that waited are seen through, and what had ended is there until its time is over', async () => {
    let client = await service.begin();
    const ended = await client.completed((await client.accepted(small)).id);
    const endedHash = await client.pictureHash(ended.id);
    const plainEnded = await answerOf(await client.postJson(small));

    const running = await client.accepted(long);
    await client.denoised(running.id, 1);
    client.server.pauseHost();
    const reader = await client.events(running.id);
    const waiting = await client.accepted(seedless);
    const waits = fate(client.keyed('waits', seedless));
    const keyedId = await service.idOfKey('waits');
    const keyed = await client.job(keyedId);
    const known = service.storedJobs().map(({ id }) => id);
    const plain = fate(client.postJson(small));
    const plainId = await idOfPlain(known);
    await client.queueIs({ running: 1, pending: 3 });
    await eventually('the reader has begun', () => reader.events.length > 0);
    await kill(client);
    expect([await waits, await plain]).toEqual(['lost', 'lost']);
    const told = reader.events.map(({ id }) => id);

    client = await service.begin();
    await client.server.logged(/^4 unfinished jobs of an earlier run are taken up/);
    const retry = await client.keyed('waits', seedless);
    expect([retry.headers.get('x-job-id'), retry.headers.get('x-seed')]).toEqual([keyedId, String(keyed.parameters['seed'])]);
    expect(await hashOf(retry)).toBe(await drawnAgain(client, keyed, seedless));
    for (const [job, fields, attempt] of [
      [running, long, 2],
      [waiting, seedless, 1],
      [keyed, seedless, 1],
    ] as const) {
      const after = await client.completed(job.id);
      expect(after).toMatchObject({ attempt, created: job.created, parameters: { seed: job.parameters['seed'] } });
      expect(await client.pictureHash(job.id)).toBe(await drawnAgain(client, job, fields));
    }
    await expectInterrupted(client, plainId);

    // A reader that was there goes on where it was: ids rise over the two servers.
    const on = await client.events(running.id, told.at(-1));
    await on.ended;
    expect(told.length).toBeGreaterThan(0);
    expect(on.events[0]?.id).toBeGreaterThan(told.at(-1)!);
    expect(on.named('started').map(({ data }) => data)).toEqual([{ attempt: 2 }]);
    expect(on.events.at(-1)).toMatchObject({ name: 'completed', data: { id: running.id } });

    expect(await client.job(ended.id)).toEqual(ended);
    expect(await client.pictureHash(ended.id)).toBe(endedHash);
    expect(await client.job(plainEnded.id)).toMatchObject({ status: 'completed' });
    await kill(client);

    // With a shorter time for ended jobs all of it is over at once.
    client = await service.begin('jobs.ttlMs=100');
    for (const id of [ended.id, plainEnded.id, running.id, plainId]) {
      await eventually(`job ${id} is forgotten`, async () => (await client.get(`/jobs/${id}`)).status === 404);
      for (const tail of ['/events', '/images/0']) expect((await client.get(`/jobs/${id}${tail}`)).status).toBe(404);
    }
    await eventually('their files are gone', () => readdirSync(service.folder).join() === 'lock');
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it.each(['keyed', 'plain'] as const)('a %s job that ran is what was promised of it', async (kind) => {
    let client = await service.begin();
    const before = service.storedJobs().map(({ id }) => id);
    const answer = fate(kind === 'keyed' ? client.keyed('runs', long) : client.postJson(long));
    const id = kind === 'keyed' ? await service.idOfKey('runs') : await idOfPlain(before);
    await client.denoised(id, 1);
    await kill(client);
    expect(await answer).toBe('lost');

    client = await service.begin();
    if (kind === 'plain') await expectInterrupted(client, id);
    else {
      const retry = await client.keyed('runs', long);
      expect(retry.headers.get('x-job-id')).toBe(id);
      expect(await hashOf(retry)).toBe(await hashOf(await client.postJson(long, { accept: 'image/png' })));
      expect(await client.job(id)).toMatchObject({ status: 'completed', attempt: 2 });
    }
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('a picture that came with a request is drawn anew from the very same file', async () => {
    let client = await service.begin();
    const blocker = await client.accepted({ ...long, width: 256, height: 256, num_inference_steps: 200 });
    await client.denoised(blocker.id, 1);
    const form = new FormData();
    for (const [name, value] of Object.entries({ ...small, strength: 0.5 })) form.set(name, String(value));
    form.set('image', new Blob([new Uint8Array(fixture('quadrants.png'))]), 'image');
    const headers = { prefer: 'respond-async' };
    const answer = await fetch(`${client.server.url}/image-to-image`, { method: 'POST', headers, body: form });
    const { id } = (await answer.json()) as JobAnswer;
    await kill(client);

    client = await service.begin();
    await fetch(`${client.server.url}/jobs/${blocker.id}`, { method: 'DELETE' });
    await client.completed(id);
    const again = await fetch(`${client.server.url}/image-to-image`, {
      method: 'POST',
      headers: { accept: 'image/png' },
      body: form,
    });
    expect(await client.pictureHash(id)).toBe(await hashOf(again));
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });
});
