import { rmSync } from 'node:fs';
import { Client, errorOf, fixture, small } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { Lives } from '../e2e/lives.js';
import { allEventsOf, eventsOf } from '../e2e/server-events.js';
import { isRunning, newJobsFolder, type Server } from '../e2e/server.js';
import { RawClient } from '../fixtures/raw-client.js';

const long = { ...small, num_inference_steps: 100 };

describe('a shutdown', () => {
  const folder = newJobsFolder();
  const lives = new Lives(folder);
  let server: Server;
  let client: Client;
  let jobs: Jobs;
  let undisturbed: { long: Buffer; small: Buffer };
  async function begin(): Promise<void> {
    server = await lives.begin();
    client = new Client(server);
    jobs = new Jobs(server);
  }
  beforeAll(async () => {
    await begin();
    undisturbed = { long: await client.file(long), small: await client.file(small) };
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true });
  });

  it('sees the running request through, waits for nobody idle, and leaves what waits to the next server', async () => {
    const host = server.hostPid();
    const first = await jobs.submit(long);
    expect((await jobs.picture(first.id)).equals(undisturbed.long)).toBe(true);
    server.pauseHost();
    const running = client.file(long);
    await client.queueIs({ running: 1, pending: 0 });
    const unseeded = { ...long, seed: undefined };
    const waiting = [await jobs.submit(long), await jobs.submit(unseeded)] as const;
    const idle = await RawClient.connect(server.port);
    await idle.ask('GET', '/health/live');
    expect((await idle.answer()).status).toBe(200);
    const stream = await jobs.events(waiting[0].id);

    const logged = server.log.length;
    server.kill('SIGTERM');
    await server.logged(/^stopping/, logged);
    const refused = await client.postJson(small);
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await errorOf(refused)).toMatchObject({ status: 503, code: 'ENGINE_UNAVAILABLE' });
    expect((await jobs.ask('GET', `/jobs/${waiting[0].id}`)).status).toBe(200);
    server.resumeHost();
    const told = await allEventsOf(stream);
    expect(told.map(({ name }) => name)).toEqual(['queued']);
    expect((await running).equals(undisturbed.long)).toBe(true);
    expect(await server.ended).toMatchObject({ code: 0, signal: null });
    await expect(idle.answer()).rejects.toThrow('ended before an answer');
    expect(isRunning(host)).toBe(false);

    await begin();
    expect((await jobs.picture(waiting[0].id)).equals(undisturbed.long)).toBe(true);
    const { seed } = waiting[1].parameters;
    const [image] = (await jobs.ended(waiting[1].id)).images;
    expect(image?.seed).toBe(seed);
    expect((await jobs.picture(waiting[1].id)).equals(await client.file({ ...long, seed }))).toBe(true);
    // Who comes back gets what follows the last event that it has.
    const lastId = told.at(-1)!.id;
    const rest = await allEventsOf(await jobs.events(waiting[0].id, { 'last-event-id': String(lastId) }));
    expect(rest.at(-1)!.name).toBe('completed');
    for (const { id } of rest) expect(id).toBeGreaterThan(lastId);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('by %s to all its processes sees the running request through too', async (signal) => {
    const host = server.hostPid();
    server.pauseHost();
    const running = client.file(long);
    await client.queueIs({ running: 1 });
    server.resumeHost();
    // As a terminal does at Ctrl-C, and a supervisor that ends a whole group.
    process.kill(host, signal);
    server.kill(signal);
    expect((await running).equals(undisturbed.long)).toBe(true);
    expect(await server.ended).toMatchObject({ code: 0 });
    await begin();
  });

  it('waits for nobody who does not come to an end', async () => {
    const quadrants = fixture('quadrants.png');
    const upload = await RawClient.connect(server.port);
    await upload.ask('POST', '/image-to-image', {
      'Content-Type': 'multipart/form-data; boundary=cut',
      'Content-Length': 1_000_000,
    });
    await upload.send('--cut\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n');
    await upload.send(quadrants);
    const half = await RawClient.connect(server.port);
    await half.send('POST /text-to-image HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-');
    server.pauseHost();
    const waiting = await jobs.submit(long);
    const reader = await RawClient.connect(server.port);
    await reader.ask('GET', `/jobs/${waiting.id}/events`);
    await client.queueIs({ running: 1 });
    server.resumeHost();
    server.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0 });
    for (const raw of [upload, half, reader]) raw.close();
    await begin();
    // It ran, and so it was seen through.
    expect(await jobs.read(waiting.id)).toMatchObject({ status: 'completed', attempt: 1 });
    expect((await jobs.picture(waiting.id)).equals(undisturbed.long)).toBe(true);
  });

  it('answers who is connected until the port is closed, and as ever', async () => {
    const drawn = await jobs.submit(small);
    const picture = await jobs.picture(drawn.id);
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(server.port)));
    const logged = server.log.length;
    // Nothing ends before the first one has asked.
    server.pauseHost();
    server.kill('SIGTERM');
    await server.logged(/^stopping/, logged);
    const statuses: number[] = [];
    for (const [index, raw] of clients.entries()) {
      // Later and later, beyond the end of the engine.
      if (index === 1) server.resumeHost();
      if (index > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      await raw.ask('GET', index % 2 === 0 ? `/jobs/${drawn.id}` : `/jobs/${drawn.id}/images/0`);
      const answer = await raw.answer().catch(() => null);
      if (answer) statuses.push(answer.status);
      raw.close();
    }
    expect(statuses.length).toBeGreaterThan(0);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(await server.ended).toMatchObject({ code: 0 });
    expect(server.log.slice(logged).filter(({ level }) => level === 'error')).toEqual([]);
    await begin();
    expect((await jobs.picture(drawn.id)).equals(picture)).toBe(true);
  });

  it('takes back what does not end within the grace, and the next server draws it', async () => {
    await lives.end('SIGTERM');
    const impatient = new Lives(folder, ['server.shutdownGraceMs=100']);
    const second = await impatient.begin();
    const asked = new Jobs(second);
    const { id } = await asked.submit(long);
    const names: string[] = [];
    let lastId = 0;
    let isStopped = false;
    for await (const { id: eventId, name, data } of eventsOf(await asked.events(id))) {
      names.push(name);
      lastId = eventId;
      if (isStopped || !(Number(data.step) >= 10)) continue;
      isStopped = true;
      // It does not come to its end before the server has begun to wait for that.
      second.pauseHost();
      second.kill('SIGTERM');
      await second.logged(/^stopping/);
      second.resumeHost();
    }
    expect(await second.ended).toMatchObject({ code: 0 });
    expect(names).not.toContain('completed');
    await begin();
    expect((await jobs.picture(id)).equals(undisturbed.long)).toBe(true);
    const rest = await allEventsOf(await jobs.events(id, { 'last-event-id': String(lastId) }));
    expect(rest.map(({ name }) => name)).toContain('completed');
    for (const event of rest) expect(event.id).toBeGreaterThan(lastId);
    // The run that the server itself stopped does not count.
    expect(await jobs.read(id)).toMatchObject({ attempt: 1 });
  });

  it('is followed by a server that draws what was drawn before', async () => {
    expect((await client.file(small)).equals(undisturbed.small)).toBe(true);
  });
});
