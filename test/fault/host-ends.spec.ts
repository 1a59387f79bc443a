import { errorOf, small } from '../e2e/client.js';
import { hashOf, type JobClient } from './job-client.js';
import { Service } from './service.js';

/* The engine host ends under jobs that outlive their connections. */

/** Some seconds, of which a host can be robbed. */
const long = { ...small, width: 128, height: 128, num_inference_steps: 40 };
const hangMs = 3000;

/** Ends the host in the middle of the job; resolves when the next one draws. */
async function endHost(client: JobClient, id: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  await client.denoised(id, 2);
  const logged = client.server.log.length;
  process.kill(client.server.hostPid(), signal);
  await client.server.logged(/^the engine is restarting/, logged);
  await client.server.logged(/^model loaded/, logged);
}

describe('a job whose host ends', () => {
  const service = new Service();
  let client: JobClient;
  let undisturbed: string;
  beforeAll(async () => {
    client = await service.begin(`engine.hangMs=${hangMs}`);
    undisturbed = await hashOf(await client.postJson(long, { accept: 'image/png' }));
  });
  afterAll(() => service.end());

  it.each(['SIGKILL', 'SIGSEGV', 'SIGSTOP'] as const)('by %s, asynchronous, begins anew and tells of it', async (signal) => {
    const { id } = await client.accepted(long);
    const reader = await client.events(id);
    await endHost(client, id, signal);
    const job = await client.completed(id);
    expect(job).toMatchObject({ attempt: 2, error: null, parameters: { seed: long.seed } });
    expect(await client.pictureHash(id)).toBe(undisturbed);

    await reader.ended;
    const { events } = reader;
    const ids = events.map((event) => event.id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(reader.named('started').map(({ data }) => data)).toEqual([{ attempt: 1 }, { attempt: 2 }]);
    const again = events.slice(events.findLastIndex(({ name }) => name === 'started') + 1);
    const progress = again.filter(({ name }) => name === 'progress').map(({ data }) => data);
    expect(progress.map(({ attempt }) => attempt)).toEqual(progress.map(() => 2));
    const steps = progress.filter(({ stage }) => stage === 'denoise').map(({ step }) => Number(step));
    expect(steps[0]).toBeLessThan(long.num_inference_steps / 2);
    expect(events.at(-1)).toMatchObject({ name: 'completed', data: { id, attempt: 2 } });
    expect(reader.named('completed')).toHaveLength(1);
  });

  it('with a key gives its one client one answer, and a second call the same', async () => {
    const answer = client.keyed('once', long);
    const id = await service.idOfKey('once');
    await endHost(client, id);
    const drawn = await answer;
    expect([drawn.headers.get('x-job-id'), drawn.headers.get('x-seed')]).toEqual([id, String(long.seed)]);
    expect(await hashOf(drawn)).toBe(undisturbed);
    expect(await client.job(id)).toMatchObject({ status: 'completed', attempt: 2 });
    const again = await client.keyed('once', long);
    expect([again.headers.get('x-job-id'), await hashOf(again)]).toEqual([id, undisturbed]);
  });

  it('twice fails, and its key starts a new one', async () => {
    const answer = client.keyed('twice', long);
    const id = await service.idOfKey('twice');
    const reader = await client.events(id);
    await endHost(client, id);
    await endHost(client, id);
    const failed = await answer;
    expect(failed.headers.get('x-should-retry')).toBe('false');
    expect(await errorOf(failed)).toMatchObject({ status: 503, code: 'ENGINE_CRASHED' });
    expect(await client.job(id)).toMatchObject({ status: 'failed', attempt: 2, error: { code: 'ENGINE_CRASHED' } });
    await reader.ended;
    expect(reader.named('started').map(({ data }) => data)).toEqual([{ attempt: 1 }, { attempt: 2 }]);
    expect(reader.events.at(-1)).toMatchObject({ name: 'failed', data: { error: { code: 'ENGINE_CRASHED' } } });

    const anew = await client.keyed('twice', long);
    expect(anew.headers.get('x-job-id')).not.toBe(id);
    expect(await hashOf(anew)).toBe(undisturbed);
  });
});

describe('a job under which the host ended once and the server once', () => {
  const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };
  let service: Service;
  beforeEach(() => (service = new Service()));
  afterEach(() => service.end());

  async function killServer({ server }: JobClient): Promise<void> {
    server.kill('SIGKILL');
    await server.ended;
  }

  async function expectCrashed(client: JobClient, id: string): Promise<void> {
    const job = await client.ended(id);
    expect(job).toMatchObject({ status: 'failed', attempt: 2, error: { code: 'ENGINE_CRASHED', type: 'server_error' } });
    const reader = await client.events(id);
    await reader.ended;
    expect(reader.events.at(-1)).toMatchObject({ name: 'failed', data: { error: { code: 'ENGINE_CRASHED' } } });
    expect(reader.named('started').at(-1)?.data).toEqual({ attempt: 2 });
  }

  it.each(['the host', 'the server'] as const)('(%s first) fails, and is not run by the next server either', async (first) => {
    let client = await service.begin();
    const { id } = await client.accepted(endless);
    if (first === 'the host') {
      await endHost(client, id);
      await client.denoised(id, 1);
      await killServer(client);
      client = await service.begin();
    } else {
      await client.denoised(id, 1);
      await killServer(client);
      client = await service.begin();
      await client.denoised(id, 1);
      expect(await client.job(id)).toMatchObject({ attempt: 2 });
      await endHost(client, id);
    }
    await expectCrashed(client, id);
    // What comes after it is drawn.
    await hashOf(await client.postJson(small, { accept: 'image/png' }));
    await killServer(client);

    const last = await service.begin();
    await expectCrashed(last, id);
    expect(await (await last.get('/metrics')).text()).toContain('\nqwen_image_jobs_accepted_total 0\n');
    expect(await last.server.stop()).toMatchObject({ code: 0 });
  });
});
