import { errorOf, small } from '../e2e/client.js';
import { eventually } from '../e2e/server.js';
import type { JobAnswer } from '../e2e/jobs.js';
import { hashOf, type JobClient } from './job-client.js';
import { Service } from './service.js';
import { daySeconds, WallClock } from './wall-clock.js';

/* The wall clock of the server and of its host is set while they work: by NTP, a virtual machine that goes on, or its operator. */

const long = { ...small, width: 256, height: 256, num_inference_steps: 60 };
const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };
/** Longer than any spec takes, and far less than a day. */
const hour = 3600;

interface Health {
  uptime_s: number;
  engine: { state: string; restarts: number; uptime_s: number };
}

let clock: WallClock;
let service: Service;
beforeEach(() => {
  clock = new WallClock();
  service = new Service(undefined, clock.variables);
});
afterEach(async () => {
  await service.end();
  clock.end();
});

async function healthOf(client: JobClient): Promise<Health> {
  const answer = await client.get('/health');
  expect(answer.status).toBe(200);
  return (await answer.json()) as Health;
}

function expectInOrder({ created, started, finished, expires }: JobAnswer): void {
  const times = [created, started, finished, expires];
  expect(times).not.toContain(null);
  expect(times).toEqual([...times].sort((a, b) => a! - b!));
}

describe.each([daySeconds, -daySeconds])('a wall clock that is set by %i s', (jump) => {
  it('harms neither jobs that run and wait, nor what is kept, counted and told', async () => {
    const requests = 6;
    const client = await service.begin(`rateLimit.limit=${requests}`, `rateLimit.windowMs=${1000 * hour}`);
    const drawn = await hashOf(await client.keyed('key', small));
    const kept = await client.job(await service.idOfKey('key'));
    const running = await client.accepted({ ...long, timeout_ms: 120_000 });
    const waiting = await client.accepted({ ...small, timeout_ms: 120_000 });
    const cancelled = await client.accepted({ ...small, timeout_ms: 120_000 });
    const reader = await client.events(running.id);
    await client.denoised(running.id, 1);
    const before = await healthOf(client);

    clock.set(jump);
    await fetch(`${client.server.url}/jobs/${cancelled.id}`, { method: 'DELETE' });
    const late = await client.accepted(small);
    expect(Math.abs(late.created - kept.created - jump)).toBeLessThan(hour);

    for (const { id, created } of [running, waiting, late]) {
      const job = await client.completed(id);
      expect(job).toMatchObject({ created, attempt: 1 });
      expectInOrder(job);
      // All but the last one saw the clock being set.
      const expected = id === late.id ? 0 : Math.max(0, jump);
      expect(Math.abs(job.finished! - created - expected)).toBeLessThan(hour);
      for (const ms of Object.values(job.timings!)) expect([ms >= 0, ms < 1000 * hour]).toEqual([true, true]);
    }
    const { created, finished } = await client.job(cancelled.id);
    expect(finished).toBeGreaterThanOrEqual(created);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ name: 'completed', data: { attempt: 1 } });

    expect(await client.job(kept.id)).toEqual(kept);
    const image = await client.get(`/jobs/${kept.id}/images/0`);
    const keptSeconds = Number(/max-age=(\d+)/.exec(image.headers.get('cache-control') ?? '')?.[1]);
    expect([keptSeconds > 0, keptSeconds <= hour]).toEqual([true, true]);
    expect(await hashOf(image)).toBe(drawn);
    expect(await hashOf(await client.keyed('key', small))).toBe(drawn);
    expect(service.storedJobs()).toHaveLength(requests - 1);

    const refused = await client.postJson(small);
    expect(await errorOf(refused)).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    const waitSeconds = Number(refused.headers.get('retry-after'));
    expect([waitSeconds > 0, waitSeconds <= hour]).toEqual([true, true]);

    const after = await healthOf(client);
    expect(after.engine).toMatchObject({ state: 'ready', restarts: 0 });
    for (const passed of [after.uptime_s - before.uptime_s, after.engine.uptime_s - before.engine.uptime_s]) {
      expect([passed >= 0, passed < hour]).toEqual([true, true]);
    }
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('puts off neither a deadline nor the time when a job is forgotten', async () => {
    const client = await service.begin('jobs.ttlMs=1000');
    const running = await client.accepted(endless);
    const { id } = await client.accepted({ ...small, timeout_ms: 3000 });
    const reader = await client.events(id);
    clock.set(jump);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ name: 'failed', data: { error: { code: 'DEADLINE_EXCEEDED' } } });
    await eventually('it is forgotten', async () => (await client.get(`/jobs/${id}`)).status === 404);
    await eventually('its files are gone', () => service.storedJobs().length === 1);
    expect((await client.job(running.id)).status).toBe('running');
  });
});

describe('a wall clock that is set between two servers', () => {
  let kept: JobAnswer;
  beforeEach(async () => {
    const client = await service.begin();
    const { id } = await client.accepted(small);
    kept = await client.completed(id);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('forward lets the next one forget what has ended before', async () => {
    clock.set(daySeconds);
    const client = await service.begin();
    expect((await client.get(`/jobs/${kept.id}`)).status).toBe(404);
    expect(service.storedJobs()).toEqual([]);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });

  it('back makes no job end in the future', async () => {
    clock.set(-daySeconds);
    const client = await service.begin();
    const job = await client.job(kept.id);
    expect(job.status).toBe('completed');
    expectInOrder(job);
    expect(Math.abs(kept.finished! - daySeconds - job.finished!)).toBeLessThan(hour);
    expect((await client.get(`/jobs/${kept.id}/images/0`)).status).toBe(200);
    expect(await client.server.stop()).toMatchObject({ code: 0 });
  });
});
