import { Body, Controller, Get, Logger, Module, Post, Res, UploadedFile, UseInterceptors } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FileInterceptor } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { trace } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Response } from 'express';
import { once } from 'node:events';
import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import request from 'supertest';
import { accessLog } from './access-log.middleware.js';
import { createLogger, createNestLogger } from './logger.js';
import { currentRequestId, extendContext, withContext } from './request-context.js';
import { requestId } from './request-id.middleware.js';
import { traceRequests } from './tracing/trace-requests.middleware.js';

@Controller()
class EchoController {
  private readonly logger = new Logger(EchoController.name);

  @Post('json')
  json(@Body() body: unknown) {
    extendContext({ apiKey: 'alice' });
    this.logger.log({ message: 'got json', body });
    return { id: currentRequestId() };
  }

  @Post('file')
  @UseInterceptors(FileInterceptor('image'))
  async file(@UploadedFile() file: { buffer: Buffer }) {
    await new Promise((resolve) => setImmediate(resolve));
    withContext({ jobId: 'job-1' }, () => this.logger.log({ message: 'got file', data: file.buffer }));
    return { id: currentRequestId() };
  }

  @Get('never')
  never() {
    return new Promise(() => undefined);
  }

  @Get('half')
  half(@Res() response: Response) {
    response.write('half');
  }
}

@Module({ controllers: [EchoController] })
class EchoModule {}

type LogLine = Record<string, unknown>;

function capture(): { output: PassThrough; text: () => string; lines: () => LogLine[] } {
  const output = new PassThrough({ encoding: 'utf8' });
  let text = '';
  output.on('data', (chunk: string) => (text += chunk));
  const lines = () =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  return { output, text: () => text, lines };
}

describe('over HTTP', () => {
  const log = capture();
  const spans = new InMemorySpanExporter();
  let app: NestExpressApplication;

  beforeAll(async () => {
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
    const logger = createLogger({ level: 'info', format: 'json', prompts: false }, log.output);
    const module = await Test.createTestingModule({ imports: [EchoModule] }).compile();
    app = module.createNestApplication<NestExpressApplication>({ logger: createNestLogger(logger) });
    app.use(requestId, traceRequests, accessLog(logger));
    await app.listen(0, '127.0.0.1');
  });
  afterAll(async () => {
    app.getHttpServer().closeAllConnections();
    await app.close();
  });

  async function recordsOf(id: string, message: RegExp): Promise<LogLine[]> {
    for (;;) {
      const records = log.lines().filter((line) => line['requestId'] === id);
      if (records.some((line) => message.test(String(line['message'])))) return records;
      await once(log.output, 'data');
    }
  }

  it('keeps an acceptable id and writes it into every record of the request', async () => {
    const answer = await request(app.getHttpServer())
      .post('/json?secret=1')
      .set('X-Request-Id', 'abc-1')
      .send({ prompt: 'a cat', width: 8 });
    expect(answer.headers['x-request-id']).toBe('abc-1');
    expect(answer.body).toEqual({ id: 'abc-1' });
    const records = await recordsOf('abc-1', /^POST/);
    expect(records).toEqual([
      expect.objectContaining({
        level: 'info',
        message: 'got json',
        context: 'EchoController',
        apiKey: 'alice',
        body: { prompt: '[hidden]', width: 8 },
      }),
      expect.objectContaining({
        message: 'POST /json 201',
        context: 'http',
        apiKey: 'alice',
        method: 'POST',
        path: '/json',
        status: 201,
      }),
    ]);
    expect(records[1]?.['durationMs']).toEqual(expect.any(Number));
    expect(log.text()).not.toMatch(/a cat|secret/);
  });

  it.each(['', 'a b', 'ä', 'x'.repeat(129), 'a\\nb', '<script>'])('replaces the id %j', async (given) => {
    const answer = await request(app.getHttpServer())
      .post('/json')
      .set('X-Request-Id', Buffer.from(given).toString('latin1'))
      .send({});
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(answer.body).toEqual({ id: answer.headers['x-request-id'] });
  });

  it('gives malformed bodies and unknown routes an id and a record', async () => {
    const malformed = await request(app.getHttpServer()).post('/json').set('X-Request-Id', 'bad').type('json').send('{"a":');
    expect([malformed.status, malformed.headers['x-request-id']]).toEqual([400, 'bad']);
    expect((await recordsOf('bad', /^POST/)).at(-1)).toMatchObject({ status: 400 });
    await request(app.getHttpServer()).get('/nowhere').set('X-Request-Id', 'lost');
    expect((await recordsOf('lost', /^GET/)).at(-1)).toMatchObject({ path: '/nowhere', status: 404 });
  });

  it('holds the context through an upload, adds the job, and writes bytes as a count', async () => {
    const upload = request(app.getHttpServer())
      .post('/file')
      .set('X-Request-Id', 'up')
      .attach('image', Buffer.alloc(300_000), 'a.png');
    expect((await upload).body).toEqual({ id: 'up' });
    expect((await recordsOf('up', /^POST/))[0]).toMatchObject({ message: 'got file', jobId: 'job-1', data: '[300000 bytes]' });
  });

  it.each([
    ['before its answer', '/never', 499],
    ['in the middle of its answer', '/half', 200],
  ])('says of a request that its client gave up on it %s', async (_when, path, status) => {
    const { port } = app.getHttpServer().address() as AddressInfo;
    const client = get({ port, path, headers: { 'x-request-id': `gone-${status}` } });
    client.on('error', () => undefined);
    await once(app.getHttpServer(), 'request');
    if (status === 200) await once(client, 'response');
    client.destroy();
    const [record] = await recordsOf(`gone-${status}`, /^GET/);
    expect(record).toMatchObject({ message: `GET ${path} ${status}`, path, status, aborted: true });
    const span = spans.getFinishedSpans().find(({ attributes }) => attributes['http.route'] === path);
    expect(span?.attributes['http.response.status_code']).toBe(status);
  });
});

describe(createLogger.name, () => {
  it('leaves out what is below its level, and nothing that is fatal', () => {
    const log = capture();
    const nest = createNestLogger(createLogger({ level: 'error', format: 'json', prompts: false }, log.output));
    nest.warn('w');
    nest.log('i');
    nest.error('e', 'the stack', 'Here');
    nest.fatal?.('f');
    expect(log.lines()).toEqual([
      { timestamp: expect.any(String), level: 'error', message: 'e', context: 'Here', stack: 'the stack' },
      { timestamp: expect.any(String), level: 'fatal', message: 'f' },
    ]);
  });

  it('tells what Nest says of its start only at debug', () => {
    const [atInfo, atDebug] = (['info', 'debug'] as const).map((level) => {
      const log = capture();
      const nest = createNestLogger(createLogger({ level, format: 'json', prompts: false }, log.output));
      nest.log('mapped', 'RouterExplorer');
      nest.error('broken', undefined, 'InstanceLoader');
      return log.lines().map((line) => line['message']);
    });
    expect(atInfo).toEqual(['broken']);
    expect(atDebug).toEqual(['mapped', 'broken']);
  });

  it('begins a line with time, level and message', () => {
    const log = capture();
    createLogger({ level: 'info', format: 'json', prompts: false }, log.output).info('m', { a: 1n, context: 'C' });
    expect(log.text()).toMatch(/^\{"timestamp":"[^"]+","level":"info","message":"m","a":"1","context":"C"\}\n$/);
  });

  it('writes an error with its code and its cause', () => {
    const log = capture();
    const error = Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'OUT_OF_MEMORY' });
    createLogger({ level: 'info', format: 'json', prompts: false }, log.output).warn('failed', { error });
    expect(log.lines()).toEqual([
      expect.objectContaining({
        message: 'failed',
        error: expect.objectContaining({
          name: 'Error',
          message: 'outer',
          code: 'OUT_OF_MEMORY',
          stack: expect.stringContaining('observability.spec'),
          cause: expect.objectContaining({ message: 'inner' }),
        }),
      }),
    ]);
  });

  it('survives an object that holds itself', () => {
    const log = capture();
    const loop: Record<string, unknown> = { name: 'loop' };
    loop['self'] = loop;
    createLogger({ level: 'info', format: 'json', prompts: false }, log.output).info('circle', { loop });
    expect(log.lines()).toHaveLength(1);
  });

  it('writes one readable line for people', () => {
    const log = capture();
    createLogger({ level: 'debug', format: 'pretty', prompts: false }, log.output).debug('loaded', {
      context: 'Engine',
      seconds: 2,
      device: 'cpu',
    });
    expect(log.text().replace(/\u001b\[\d+m/g, '')).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} debug \[Engine\] loaded seconds=2 device=cpu\n$/,
    );
  });
});
