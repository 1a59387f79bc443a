import { ServiceError } from '@app/inference';
import { once } from 'node:events';
import { createServer, get, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { EventReader } from '../../../../test/fixtures/event-reader.js';
import { ScriptedJob } from '../../../../test/fixtures/scripted-inference.js';
import { faultsOf, startJobsApi, type JobsApi } from '../../../../test/fixtures/test-api.js';
import request from 'supertest';
import { cutOffIdleClients } from '../idle-clients.js';
import { EventStream, keepAwakeMs } from './event-stream.js';

async function whenever(holds: () => boolean): Promise<void> {
  while (!holds()) await nextTurn();
}

describe('GET /jobs/:id/events', () => {
  let api: JobsApi;
  beforeAll(async () => (api = await startJobsApi()));
  afterAll(() => api.app.close());
  const read = (job: ScriptedJob, headers: Record<string, string> = {}, method = 'GET') =>
    new EventReader(api.app, `/jobs/${job.id}/events`, headers, method);

  it('sends what happens as it happens, and the job at the end', async () => {
    const job = api.inference.add();
    const reader = read(job);
    const { status, headers } = await reader.open();
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'x-request-id': expect.any(String),
    });
    await reader.until(() => reader.names.includes('queued'));
    expect(reader.text).toBe('id: 1\nevent: queued\ndata: {"position":1,"eta_ms":5400}\n\n');
    job.start();
    await reader.until(() => reader.names.includes('started'));
    job.progress(1);
    await reader.until(() => reader.names.includes('progress'));
    job.preview(0, 'abc\n');
    await reader.until(() => reader.names.includes('preview'));
    job.progress(2);
    await reader.until(() => reader.names.length === 5);
    job.complete();
    await reader.ended();
    expect(reader.events.slice(1, 5)).toEqual([
      { id: 2, event: 'started', data: { attempt: 1 } },
      { id: 3, event: 'progress', data: { attempt: 1, stage: 'denoise', image: 0, step: 1, total: 20, eta_ms: 190 } },
      { id: 4, event: 'preview', data: expect.objectContaining({ index: 0, b64_json: 'abc\n' }) },
      { id: 5, event: 'progress', data: expect.objectContaining({ step: 2 }) },
    ]);
    const { body } = await request(api.app.getHttpServer()).get(`/jobs/${job.id}`);
    expect(reader.events.slice(5)).toEqual([{ id: 6, event: 'completed', data: body }]);
    expect(reader.isWhole).toBe(true);
  });

  it.each([
    ['failed', (job: ScriptedJob) => job.fail(new ServiceError('DEADLINE_EXCEEDED', 'too late'))],
    ['cancelled', (job: ScriptedJob) => job.cancel()],
  ])('tells that it has %s once, and ends', async (name, end) => {
    const job = api.inference.add();
    const reader = read(job);
    await reader.open();
    end(job);
    await reader.ended();
    expect(reader.names).toEqual(['queued', name]);
    expect(reader.events[1]?.data).toMatchObject({ id: job.id, status: name, error: { code: expect.any(String) } });
    expect(reader.isWhole).toBe(true);
  });

  it('gives a late client the state so far, and a client that comes back only what is newer', async () => {
    const job = api.inference.add();
    job.start();
    for (let step = 1; step <= 5; step++) job.progress(step);
    job.preview(0, 'a');
    job.progress(6);
    job.preview(1, 'b');
    const late = read(job);
    await late.open();
    await late.until(() => late.events.length === 5);
    expect(late.events.map(({ id, event }) => [id, event])).toEqual([
      [1, 'queued'],
      [2, 'started'],
      [8, 'preview'],
      [9, 'progress'],
      [10, 'preview'],
    ]);
    late.leave();
    const back = read(job, { 'last-event-id': '8' });
    await back.open();
    job.complete();
    await back.ended();
    expect(back.events.map(({ id, event }) => [id, event])).toEqual([
      [9, 'progress'],
      [10, 'preview'],
      [11, 'completed'],
    ]);
    const after = read(job);
    await after.open();
    await after.ended();
    expect(after.names).toEqual(['queued', 'started', 'preview', 'progress', 'preview', 'completed']);
  });

  it('says 204 to a client that has the last event, so that it stays away', async () => {
    const job = api.inference.add();
    job.complete();
    for (const method of ['GET', 'HEAD']) {
      const reader = read(job, { 'last-event-id': '2' }, method);
      const { status, headers } = await reader.open();
      await reader.ended();
      expect([status, reader.text, headers['content-type']]).toEqual([204, '', undefined]);
    }
  });

  it('answers HEAD at once, while the job goes on', async () => {
    const job = api.inference.add();
    const reader = read(job, {}, 'HEAD');
    const { status, headers } = await reader.open();
    await reader.ended();
    expect([status, headers['content-type'], reader.isWhole]).toEqual([200, 'text/event-stream', true]);
    expect(job.readers).toBe(0);
  });

  it.each(['x', '', '-1', '1.5', '1e3', '0x1', '9007199254740993'])('refuses the Last-Event-ID %j', async (id) => {
    const job = api.inference.add();
    const response = await request(api.app.getHttpServer()).get(`/jobs/${job.id}/events`).set('last-event-id', id);
    expect(faultsOf(response)).toEqual({ 'Last-Event-ID': 'must be the id of an event, as it was received' });
  });

  it('ends without a last event when the server stops, and lets the client come back', async () => {
    const job = api.inference.add();
    const reader = read(job);
    await reader.open();
    await reader.until(() => reader.events.length === 1);
    job.stop();
    await reader.ended();
    expect([reader.names, reader.isWhole]).toEqual([['queued'], true]);
    const again = read(job, { 'last-event-id': '1' });
    expect((await again.open()).status).toBe(200);
    await again.ended();
    expect([again.text, again.isWhole]).toEqual(['', true]);
  });

  it('ends without a last event when the job was forgotten meanwhile', async () => {
    const job = api.inference.add();
    const reader = read(job);
    await reader.open();
    api.inference.jobs.splice(api.inference.jobs.indexOf(job), 1);
    job.complete();
    await reader.ended();
    expect([reader.names, reader.isWhole]).toEqual([['queued'], true]);
  });

  it('cuts the stream short when events cannot be read, and logs why', async () => {
    const job = api.inference.add();
    const reader = read(job);
    await reader.open();
    await reader.until(() => reader.events.length === 1);
    job.broken = new Error('the disk is gone');
    job.start();
    await reader.ended();
    expect([reader.names, reader.isWhole]).toEqual([['queued'], false]);
    expect(api.log()).toContain(`the events of job ${job.id} cannot be read`);
    expect(api.log()).toContain('the disk is gone');
    await whenever(() => job.readers === 0);
  });

  it('keeps nothing of readers that have gone', async () => {
    const begun = jest.spyOn(globalThis, 'setInterval');
    const ended = jest.spyOn(globalThis, 'clearInterval');
    const awake = () => begun.mock.results.filter((_, call) => begun.mock.calls[call]?.[1] === keepAwakeMs);
    const job = api.inference.add();
    const readers = [];
    for (let count = 1; count <= 20; count++) {
      const reader = read(job);
      await reader.open();
      readers.push(reader);
      expect(job.readers).toBe(count);
    }
    readers.slice(0, 10).forEach((reader) => reader.leave());
    await whenever(() => job.readers === 10);
    job.complete();
    await Promise.all(readers.slice(10).map((reader) => reader.ended()));
    await whenever(() => job.readers === 0);
    const timers = awake().map(({ value }) => value as unknown);
    expect(timers).toHaveLength(20);
    const cleared = ended.mock.calls.map(([timer]) => timer as unknown);
    for (const timer of timers) expect(cleared.filter((one) => one === timer)).toHaveLength(1);
    begun.mockRestore();
    ended.mockRestore();
  });

  it('holds one event for a reader that reads nothing, and gives it the newest when it reads again', async () => {
    const bytes = 256 * 1024;
    const steps = 400;
    const job = api.inference.add();
    const accepted = once(api.app.getHttpServer(), 'connection') as Promise<[Socket]>;
    const { port } = api.app.getHttpServer().address() as AddressInfo;
    const reader = connect(port, '127.0.0.1').pause();
    reader.write(`GET /jobs/${job.id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    const [connection] = await accepted;
    await whenever(() => job.readers === 1);
    job.start();
    let looks = 0;
    for (let step = 1; step <= steps; step++) {
      job.tell('progress', { step, pad: 'x'.repeat(bytes) });
      await nextTurn();
      expect(connection.writableLength).toBeLessThan(2 * bytes);
      if (step === steps / 2) looks = job.looks;
    }
    // By half of the way all buffers between were full: nothing was even looked at since.
    expect(job.looks).toBe(looks);
    job.complete();
    let text = '';
    reader.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    reader.resume();
    await once(reader, 'end');
    const told = [...text.matchAll(/^data: \{"step":(\d+),/gm)].map(([, step]) => Number(step));
    expect(told.at(-1)).toBe(steps);
    expect(told.length).toBeLessThan(steps / 2);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(text.match(/^event: completed$/gm)).toHaveLength(1);
    await whenever(() => job.readers === 0);
  });
});

describe(EventStream.name, () => {
  let server: Server;
  let job: ScriptedJob;
  let opened: Promise<ServerResponse>;
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  async function serve(awakeMs = keepAwakeMs): Promise<number> {
    job = new ScriptedJob();
    server = createServer().listen(0, '127.0.0.1');
    cutOffIdleClients(server, 100);
    opened = once(server, 'request').then(([, response]: unknown[]) => response as ServerResponse);
    server.on('request', (_request, response: ServerResponse) => {
      new EventStream(response, job.watch(), 0, () => Promise.resolve({}), fail, awakeMs).open();
    });
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  function fail(error: unknown): never {
    throw error;
  }

  it('is kept awake by comments, four times as often as it may be silent', async () => {
    const port = await serve(5);
    let text = '';
    const client = get({ port, host: '127.0.0.1' }, (response) => {
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    });
    client.on('error', () => undefined);
    await whenever(() => text.endsWith(':\n\n:\n\n:\n\n'));
    client.destroy();
    expect(text).toMatch(/^id: 1\nevent: queued\ndata: .*\n\n(:\n\n)+$/);
    expect(keepAwakeMs).toBe(15_000);
    await whenever(() => job.readers === 0);
  });

  it.each([
    ['goes on', () => undefined],
    ['has ended', () => job.complete()],
    ['is left by a server that stops', () => job.stop()],
  ])('drops a reader that takes nothing, when the job %s', async (_, then) => {
    const port = await serve();
    const reader = connect(port, '127.0.0.1').pause();
    reader.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const response = await opened;
    const closed = once(response, 'close');
    for (let step = 1; step <= 100 && !response.destroyed; step++) {
      job.tell('progress', { step, pad: 'x'.repeat(1024 * 1024) });
      await nextTurn();
    }
    then();
    await closed;
    expect(response.writableFinished).toBe(false);
    expect(job.readers).toBe(0);
    reader.destroy();
  });

  it('does nothing for a client that has gone before it begins', async () => {
    const port = await serve();
    server.removeAllListeners('request');
    const arrived = once(server, 'request') as Promise<[unknown, ServerResponse]>;
    const client = get({ port, host: '127.0.0.1' }).on('error', () => undefined);
    const [, response] = await arrived;
    client.destroy();
    await once(response, 'close');
    new EventStream(response, job.watch(), 0, () => Promise.resolve({}), fail).open();
    expect(job.readers).toBe(0);
    expect(response.headersSent).toBe(false);
  });
});
