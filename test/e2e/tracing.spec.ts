import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OtlpReceiver, type ReceivedSpan } from '../fixtures/otlp-receiver.js';
import { Client, fixture, small } from './client.js';
import { eventually, projectRoot, Server, type LogRecord } from './server.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const callersSpan = 'b7ad6b7169203331';
const traceparent = `00-${traceId}-${callersSpan}-01`;

let receiver: OtlpReceiver;
let server: Server;
let client: Client;
beforeAll(async () => {
  receiver = new OtlpReceiver();
  const endpoint = await receiver.listen();
  server = await Server.ready('--set', `tracing.otlpEndpoint=${endpoint}`, '--set', 'logging.prompts=true');
  client = new Client(server);
});
afterAll(async () => {
  await server.stop();
  receiver.close();
});

/** Spans of a trace once the one of this name has come: the last that is made. */
async function traceWith(id: string, name: string): Promise<ReceivedSpan[]> {
  await eventually(`the span ${name}`, () => receiver.ofTrace(id).some((span) => span.name === name));
  return receiver.ofTrace(id);
}

function only(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const [span, ...more] = spans.filter((candidate) => candidate.name === name);
  if (!span || more.length > 0) throw new Error(`${more.length + (span ? 1 : 0)} spans ${name}`);
  return span;
}

function isInside(inner: ReceivedSpan, outer: ReceivedSpan): boolean {
  // Two clocks of one process, each read apart: between them it may be taken off a busy processor.
  const apartMs = 50;
  return inner.startMs >= outer.startMs - apartMs && inner.endMs <= outer.endMs + apartMs;
}

describe('a trace', () => {
  it('goes from the request that its caller has begun through queue, engine and steps to the file', async () => {
    const response = await client.postJson({ ...small, num_images: 2 }, { traceparent });
    expect(response.status).toBe(200);
    await response.text();
    const spans = await traceWith(traceId, 'POST /text-to-image');
    await traceWith(traceId, 'job.store');

    const request = only(spans, 'POST /text-to-image');
    expect(request).toMatchObject({ parentSpanId: callersSpan, failed: null });
    expect(request.attributes).toMatchObject({
      'http.route': '/text-to-image',
      'http.request.method': 'POST',
      'http.response.status_code': 200,
    });
    expect(response.headers.get('traceresponse')).toBe(`00-${traceId}-${request.spanId}-01`);

    const parents = [
      ['ImagesController.textToImage', 'POST /text-to-image'],
      ['job.wait', 'ImagesController.textToImage'],
      ['job.run', 'ImagesController.textToImage'],
      ['engine.generate', 'job.run'],
      ['engine.encode', 'engine.generate'],
      ['engine.denoise', 'engine.generate'],
      ['engine.decode', 'engine.generate'],
      ['image.encode', 'job.run'],
      ['job.store', 'ImagesController.textToImage'],
    ] as const;
    for (const [name, parent] of parents) {
      expect([name, only(spans, name).parentSpanId]).toEqual([name, only(spans, parent).spanId]);
    }
    const run = only(spans, 'job.run');
    expect(run.attributes).toMatchObject({
      'qwen_image.kind': 'text-to-image',
      'qwen_image.attempt': 1,
      'qwen_image.images': 2,
      'qwen_image.steps': 4,
    });
    expect(run.attributes['qwen_image.job_id']).toBe(response.headers.get('x-job-id'));
    for (const name of ['engine.generate', 'engine.encode', 'engine.denoise', 'engine.decode', 'image.encode']) {
      expect([name, isInside(only(spans, name), run)]).toEqual([name, true]);
    }

    const denoise = only(spans, 'engine.denoise');
    const steps = spans.filter(({ name }) => name === 'engine.denoise.step');
    expect(steps.map(({ attributes }) => [attributes['qwen_image.image'], attributes['qwen_image.step']])).toEqual(
      [0, 1].flatMap((image) => [1, 2, 3, 4].map((step) => [image, step])),
    );
    expect(new Set(steps.map(({ parentSpanId }) => parentSpanId))).toEqual(new Set([denoise.spanId]));
    expect(receiver.resource).toMatchObject({ 'service.name': 'qwen-image-server' });
  });

  it('goes on in a job that is run after its request was answered, and decodes what was uploaded', async () => {
    const id = '11111111111111111111111111111111';
    const form = new FormData();
    for (const [name, value] of Object.entries({ prompt: 'a red circle', num_inference_steps: 4 })) form.set(name, String(value));
    form.set('image', new Blob([new Uint8Array(fixture('quadrants.png'))]), 'image');
    const headers = { traceparent: `00-${id}-${callersSpan}-01`, prefer: 'respond-async' };
    const response = await fetch(`${server.url}/image-to-image`, { method: 'POST', headers, body: form });
    expect(response.status).toBe(202);
    const spans = await traceWith(id, 'job.store');
    const [run, request] = [only(spans, 'job.run'), only(spans, 'POST /image-to-image')];
    expect(run.startMs).toBeGreaterThanOrEqual(request.startMs);
    expect(only(spans, 'image.decode').parentSpanId).toBe(run.spanId);
  });

  it('tells of a refused request, and of a job that is cancelled', async () => {
    const [refused, cancelled] = ['22222222222222222222222222222222', '33333333333333333333333333333333'];
    expect((await client.postJson({ prompt: '' }, { traceparent: `00-${refused}-${callersSpan}-01` })).status).toBe(400);
    expect(only(await traceWith(refused, 'POST /text-to-image'), 'POST /text-to-image').attributes).toMatchObject({
      'http.response.status_code': 400,
    });
    const long = { ...small, width: 256, height: 256, num_inference_steps: 200 };
    const headers = { traceparent: `00-${cancelled}-${callersSpan}-01`, prefer: 'respond-async' };
    const { id } = (await (await client.postJson(long, headers)).json()) as { id: string };
    await client.queueIs({ running: 1 });
    await fetch(`${server.url}/jobs/${id}`, { method: 'DELETE' });
    await traceWith(cancelled, 'job.store');
    const spans = await traceWith(cancelled, 'engine.generate');
    expect(only(spans, 'engine.generate').failed).toBe('CANCELLED');
    expect(only(spans, 'job.store').attributes).toMatchObject({ 'qwen_image.state': 'cancelled' });
  });

  it('that its caller does not sample is not sent, and is in the log all the same', async () => {
    const id = '44444444444444444444444444444444';
    await (await client.postJson(small, { traceparent: `00-${id}-${callersSpan}-00`, 'x-request-id': 'unsampled' })).text();
    const last = '55555555555555555555555555555555';
    await (await client.postJson(small, { traceparent: `00-${last}-${callersSpan}-01` })).text();
    await traceWith(last, 'POST /text-to-image');
    expect(receiver.ofTrace(id)).toEqual([]);
    expect(await recordsOf('unsampled')).toContainEqual(expect.objectContaining({ traceId: id }));
  });

  it('has one id with the records of its request and its job', async () => {
    const id = '66666666666666666666666666666666';
    const headers = { traceparent: `00-${id}-${callersSpan}-01`, 'x-request-id': 'joined' };
    await (await client.postJson({ ...small, prompt: 'a joined circle' }, headers)).text();
    const records = await recordsOf('joined');
    expect(records.map(({ traceId: told }) => told)).toEqual(records.map(() => id));
    const [job, access] = [records.find(({ message }) => message === 'job completed'), records.at(-1)];
    const jobId = job?.['jobId'];
    expect(job).toMatchObject({ jobId: expect.any(String), prompt: 'a joined circle', steps: 4, denoiseMs: expect.any(Number) });
    expect(access).toMatchObject({
      message: 'POST /text-to-image 200',
      jobId,
      queueMs: expect.any(Number),
      engineMs: expect.any(Number),
    });
  });
});

/** Of a request, up to its access record. */
async function recordsOf(requestId: string): Promise<LogRecord[]> {
  await eventually(`the access record of ${requestId}`, () =>
    server.log.some((record) => record['requestId'] === requestId && record['context'] === 'http'),
  );
  return server.log.filter((record) => record['requestId'] === requestId);
}

describe('without a receiver', () => {
  it('sends nothing and hides prompts', async () => {
    const plain = await Server.ready();
    const id = '77777777777777777777777777777777';
    const response = await new Client(plain).postJson(small, {
      traceparent: `00-${id}-${callersSpan}-01`,
      'x-request-id': 'plain',
    });
    await response.text();
    expect(response.headers.get('traceresponse')).toBeNull();
    await eventually('the access record', () =>
      plain.log.some((record) => record['requestId'] === 'plain' && record['context'] === 'http'),
    );
    const records = plain.log.filter((record) => record['requestId'] === 'plain');
    expect(new Set(records.map(({ traceId: told }) => told))).toEqual(new Set([id]));
    expect(records.find(({ message }) => message === 'job completed')).toMatchObject({ prompt: '[hidden]' });
    expect(JSON.stringify(plain.log)).not.toContain(small.prompt);
    await plain.stop();
  });

  it('loads nothing of the SDK', () => {
    const script = `
      const { startTracing } = require('./dist/libs/observability/src/index.js');
      startTracing({ otlpEndpoint: process.argv[1] || null, sampleRatio: 1 }, { name: 'x', version: '0' }).then(() => {
        console.log(Object.keys(require.cache).filter((file) => /@opentelemetry.(sdk|exporter|core)/.test(file)).length);
        process.exit();
      });`;
    const loaded = (endpoint: string) =>
      Number(spawnSync(process.execPath, ['-e', script, endpoint], { cwd: projectRoot, encoding: 'utf8' }).stdout);
    expect(loaded('')).toBe(0);
    expect(loaded('http://127.0.0.1:9')).toBeGreaterThan(0);
  });

  it('ends in time when the receiver does not answer', async () => {
    const lost = await Server.ready('--set', 'tracing.otlpEndpoint=http://127.0.0.1:9');
    await (await new Client(lost).postJson(small)).text();
    expect(await lost.stop()).toMatchObject({ code: 0 });
  });

  it('says that one refuses the spans', async () => {
    const other = createServer((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const server = await Server.ready('--set', `tracing.otlpEndpoint=${url}`);
    await (await new Client(server).postJson(small)).text();
    const { level, message, requestId } = await server.logged(/^spans did not reach/);
    expect([level, message]).toEqual(['warn', expect.stringMatching(`^spans did not reach ${url}: .*Not Found`)]);
    expect(requestId).toBeUndefined();
    await server.stop();
    other.close();
  });
});
