import { text } from 'node:stream/consumers';
import request from 'supertest';
import { EngineError, HostLostError } from '@app/engine';
import { plainResult } from '../../../../test/fixtures/scripted-engine.js';
import { startTestApi, type TestApi } from '../../../../test/fixtures/test-api.js';

type Samples = Readonly<Record<string, number>>;

const prefix = 'qwen_image_';

/** supertest reads no text of this type by itself. */
function textOf(response: unknown, done: (error: null, body: unknown) => void): void {
  void text(response as NodeJS.ReadableStream).then((body) => done(null, body));
}

describe('GET /metrics', () => {
  let api: TestApi;
  beforeEach(async () => (api = await startTestApi('queue.maxPending=2')));
  afterEach(() => api.app.close());
  const server = () => request(api.app.getHttpServer());

  /** What one scrape says; the jobs in it must add up. */
  async function scrape(): Promise<Samples> {
    const { text } = await server()
      .get('/metrics')
      .expect(200)
      .expect('Content-Type', /^text\/plain; .*version=0\.0\.4/);
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const samples = Object.fromEntries(
      lines.map((line) => [line.slice(prefix.length, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    );
    const ended = ['completed', 'failed', 'cancelled'].map((status) => samples[`jobs_ended_total{status="${status}"}`] ?? NaN);
    const inside = (samples['jobs_pending'] ?? NaN) + (samples['jobs_running'] ?? NaN);
    expect(samples['jobs_accepted_total']).toBe(ended.reduce((sum, count) => sum + count, inside));
    return samples;
  }

  function draw(body: object = { prompt: 'x' }): request.Test {
    return server().post('/text-to-image').send(body);
  }

  it('starts with every count at nothing', async () => {
    const samples = await scrape();
    const totals = Object.entries(samples).filter(([name]) => /^jobs_(?!stored)|_total\b/.test(name));
    expect(Object.fromEntries(totals)).toEqual({
      jobs_accepted_total: 0,
      'jobs_ended_total{status="completed"}': 0,
      'jobs_ended_total{status="failed"}': 0,
      'jobs_ended_total{status="cancelled"}': 0,
      jobs_pending: 0,
      jobs_running: 0,
      denoise_steps_total: 0,
      images_total: 0,
      out_of_memory_total: 0,
      engine_restarts_total: 0,
    });
  });

  it('adds up through a burst with a full queue, cancels and crashes', async () => {
    const finish: (() => void)[] = [];
    let begun = () => {};
    let crash = () => {};
    api.engine.answer = (_id, wanted) =>
      new Promise((resolve, reject) => {
        finish.push(() => resolve(plainResult(wanted)));
        crash = () => reject(new HostLostError('gone'));
        begun();
      });
    const nextRun = () => new Promise<void>((resolve) => (begun = resolve));

    let run = nextRun();
    const first = draw().then(({ status }) => status);
    await run;
    const leaver = new AbortController();
    const gone = fetch(`${await api.app.getUrl()}/text-to-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"prompt":"x"}',
      signal: leaver.signal,
    }).catch(() => 'gone');
    const pending = async (count: number) => {
      while ((await scrape())['jobs_pending'] !== count);
    };
    await pending(1);
    const second = draw().then(({ status }) => status);
    await pending(2);
    const refusals = await Promise.all(Array.from({ length: 20 }, () => draw().then(({ status }) => status)));
    expect(new Set(refusals)).toEqual(new Set([429]));
    expect(await scrape()).toMatchObject({ jobs_accepted_total: 3, jobs_pending: 2, jobs_running: 1 });

    leaver.abort();
    expect(await gone).toBe('gone');
    await pending(1);
    run = nextRun();
    crash();
    await run; // the same once more
    run = nextRun();
    crash();
    expect(await first).toBe(503);
    await run;
    finish.at(-1)?.();
    expect(await second).toBe(200);
    expect(await scrape()).toMatchObject({
      jobs_accepted_total: 3,
      'jobs_ended_total{status="completed"}': 1,
      'jobs_ended_total{status="failed"}': 1,
      'jobs_ended_total{status="cancelled"}': 1,
      'requests_rejected_total{reason="QUEUE_FULL"}': 20,
      jobs_pending: 0,
      jobs_running: 0,
      engine_restarts_total: 0,
    });
  });

  it('counts requests for pictures that are refused, by their error code, and nothing else', async () => {
    await draw({ prompt: '' }).expect(400);
    await server().post('/Text-to-image/').send({ prompt: '' }).expect(400);
    await server().post('/text-to-image').type('json').send('{').expect(400);
    await server().post('/image-to-image').send({ prompt: 'x' }).expect(415);
    await draw().set('accept', 'text/html').expect(406);
    api.engine.become({ state: 'restarting', restarts: 4 });
    await draw().expect(503);
    await server().get('/text-to-image').expect(405);
    await server().post('/nowhere').expect(404);
    const samples = await scrape();
    expect(samples['engine_restarts_total']).toBe(4);
    expect(Object.entries(samples).filter(([name]) => name.startsWith('requests_rejected'))).toEqual([
      ['requests_rejected_total{reason="INVALID_ARGUMENT"}', 3],
      ['requests_rejected_total{reason="UNSUPPORTED_MEDIA_TYPE"}', 1],
      ['requests_rejected_total{reason="NOT_ACCEPTABLE"}', 1],
      ['requests_rejected_total{reason="ENGINE_UNAVAILABLE"}', 1],
    ]);
  });

  it('does not count the failed end of a job as a refusal', async () => {
    api.engine.answer = () => Promise.reject(new HostLostError('gone'));
    const { body, headers } = await draw().expect(503);
    expect(body).toMatchObject({ error: { code: 'ENGINE_CRASHED', type: 'server_error' } });
    expect(headers).toMatchObject({ 'x-should-retry': 'false', 'x-job-id': expect.any(String) });
    const samples = await scrape();
    expect(samples).toMatchObject({ 'jobs_ended_total{status="failed"}': 1 });
    expect(Object.keys(samples).some((name) => name.startsWith('requests_rejected'))).toBe(false);
  });

  it('tells what jobs took and gave', async () => {
    api.engine.answer = (_id, wanted, options) => {
      // Steps that are told late come several at once.
      for (const [image, step] of [
        [0, 1],
        [0, 4],
        [1, 2],
        [1, 4],
      ] as const) {
        options?.onProgress?.({ stage: 'denoise', image, step, total: 4 });
      }
      return Promise.resolve(plainResult(wanted));
    };
    await draw({ prompt: 'x', num_images: 2, num_inference_steps: 4 }).expect(200);
    api.engine.answer = () => Promise.reject(new EngineError('OUT_OF_MEMORY', 'full'));
    await draw().expect(503);
    const samples = await scrape();
    expect(samples).toMatchObject({
      job_wait_seconds_count: 2,
      'job_run_seconds_count{status="completed"}': 1,
      'job_run_seconds_count{status="failed"}': 1,
      'stage_seconds_count{stage="encode"}': 1,
      'stage_seconds_sum{stage="encode"}': 0.001,
      'stage_seconds_sum{stage="denoise"}': 0.002,
      'stage_seconds_sum{stage="decode"}': 0.003,
      denoise_steps_total: 8,
      images_total: 2,
      out_of_memory_total: 1,
      job_sync_seconds_count: 0,
    });
  });

  it('tells what durable jobs wait for the disk', async () => {
    await draw().set('prefer', 'respond-async').expect(202);
    expect((await scrape())['job_sync_seconds_count']).toBeGreaterThanOrEqual(1);
    while ((await scrape())['jobs_ended_total{status="completed"}'] !== 1);
  });

  it('counts HTTP requests by the route that they met, not by their path', async () => {
    await draw().expect(200);
    for (const id of ['a', 'b']) await server().get(`/jobs/${id}`).expect(404);
    await server().get('/nowhere').expect(404);
    await server().get('/nowhere/else').expect(404);
    const samples = await scrape();
    const requests = Object.entries(samples).filter(([name]) => name.startsWith('http_requests_total'));
    expect(Object.fromEntries(requests)).toEqual({
      'http_requests_total{route="/text-to-image",method="POST",status="200"}': 1,
      'http_requests_total{route="/jobs/:id",method="GET",status="404"}': 2,
      'http_requests_total{route="other",method="GET",status="404"}': 2,
    });
    expect(samples).toMatchObject({
      'http_request_duration_seconds_count{route="/jobs/:id"}': 2,
      'http_request_duration_seconds_bucket{le="+Inf",route="/text-to-image"}': 1,
    });
  });

  it('tells of the engine, the device and both processes, and leaves out what is not known', async () => {
    const there = await scrape();
    expect(there).toMatchObject({ ready: 1, queue_capacity: 2 });
    expect(there).toMatchObject({
      'device_memory_used_bytes{device="cpu"}': 1000,
      'device_memory_total_bytes{device="cpu"}': 2000,
    });
    const build = Object.keys(there).find((name) => name.startsWith('build_info'));
    expect(build).toContain('version="1.2.3"');
    expect(build).toContain('model_class="QwenImagePipeline"');
    const memory = ['api', 'host'].map((name) => there[`process_resident_memory_bytes{process="${name}"}`]);
    // In this test both are the same process.
    expect(memory).toEqual([expect.any(Number), expect.any(Number)]);
    for (const bytes of memory) expect(bytes).toBeGreaterThan(10_000_000);
    expect(there['event_loop_lag_seconds{quantile="0.99"}']).toBeGreaterThanOrEqual(0);

    api.engine.become({ state: 'restarting', stats: null, hostPid: null });
    const gone = await scrape();
    expect(gone['ready']).toBe(0);
    expect(Object.keys(gone).filter((name) => /device_memory|process="host"/.test(name))).toEqual([]);
  });

  it('tells OpenMetrics, where that is asked for, the trace and the job behind a bucket', async () => {
    const id = '0af7651916cd43dd8448eb211c80319c';
    const { headers } = await draw().set('traceparent', `00-${id}-b7ad6b7169203331-01`).expect(200);
    const ask = () =>
      server()
        .get('/metrics')
        .set('accept', 'application/openmetrics-text; version=1.0.0, text/plain; q=0.5')
        .buffer(true)
        .parse(textOf);
    // Two at once, and one of the other kind between them.
    const [first, plain, second] = await Promise.all([ask(), scrape(), ask()]);
    for (const { body, headers: told } of [first, second]) {
      expect(told['content-type']).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
      expect(body).toMatch(/# EOF\n$/);
      expect(body).toContain('qwen_image_jobs_accepted_total 1\n');
      const example = `# {trace_id="${id}",job_id="${String(headers['x-job-id'])}"}`;
      const bucket = String(body)
        .split('\n')
        .find((line) => line.startsWith('qwen_image_job_run_seconds_bucket') && line.includes('# {'));
      expect(bucket).toContain(example);
    }
    expect(plain).toMatchObject({ jobs_accepted_total: 1, images_total: 1 });
    expect(Object.keys(plain).some((name) => name.includes('trace_id'))).toBe(false);
  });

  it('is not there when it is switched off', async () => {
    const closed = await startTestApi('metrics.enabled=false');
    await request(closed.app.getHttpServer()).get('/metrics').expect(404);
    await closed.app.close();
  });
});
