import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorAnswers } from '../../apps/api/src/errors/error-answers.js';
import { EngineError } from '../../libs/engine/src/engine.error.js';
import { errorRows, errorTypeOf } from '../fuzz/contract.js';
import { startTestApi } from '../fixtures/test-api.js';
import { sentBy, withKeys } from './api-keys.js';
import { Client, small } from './client.js';
import { HostGate } from './host-gate.js';
import { Jobs } from './jobs.js';
import { newPoisonedModel } from './poisoned-model.js';
import { refusals, refusingSettings } from './refusals.js';
import { eventually, newJobsFolder, projectRoot, Server, type LogRecord } from './server.js';
import { answeredCodes, expectError, ofJob } from './whole-error.js';

/* Every row of the contract's table of errors is made by a request, and its whole answer held against the contract. */

const demo = join(projectRoot, 'models/demo');
/** Runs until it is stopped, as far as a test is concerned. */
const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };

describe('a server with little room answers', () => {
  const model = newPoisonedModel();
  const folder = newJobsFolder();
  let server: Server;
  let client: Client<Server>;
  let jobs: Jobs;
  beforeAll(async () => {
    const settings = [`jobs.directory=${folder}`, ...refusingSettings];
    server = await Server.ready('--model', model, ...settings.flatMap((setting) => ['--set', setting]));
    client = new Client(server);
    jobs = new Jobs(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
    for (const path of [model, folder]) rmSync(path, { recursive: true });
  });

  it.each(refusals)('%s to %s', async (code, _what, ask, expected) => {
    await expectError(await ask(client), code, expected);
  });

  it('with the id that the request brought', async () => {
    const answer = await client.postJson('', { 'x-request-id': 'mine' });
    expect(answer.headers.get('x-request-id')).toBe('mine');
    expect(await answer.json()).toMatchObject({ error: { request_id: 'mine' } });
  });

  it('IDEMPOTENCY_CONFLICT to another request with a known key', async () => {
    const key = { 'idempotency-key': 'one' };
    await jobs.ended((await jobs.submit(small, key)).id);
    const message = 'this Idempotency-Key was sent with another request';
    await expectError(await client.postJson({ ...small, seed: 2 }, key), 'IDEMPOTENCY_CONFLICT', { message });
  });

  it('DEADLINE_EXCEEDED to a request that is likely to take longer than it may', async () => {
    await client.draw(small);
    const message = /^it is likely to take \d+ ms, timeout_ms is 1$/;
    await expectError(await client.postJson({ ...endless, timeout_ms: 1 }), 'DEADLINE_EXCEEDED', { message });
  });

  it('NOT_READY to an image of a job that runs, and CANCELLED to whoever waits for it', async () => {
    const key = { 'idempotency-key': 'two' };
    const waits = client.postJson(endless, key);
    await client.queueIs({ running: 1 });
    const { id } = await jobs.submit(endless, key);
    const message = 'the job is running; its images are there when it has completed';
    await expectError(await client.get(`/jobs/${id}/images/0`), 'NOT_READY', { message });
    await jobs.cancel(id);
    await expectError(await waits, 'CANCELLED', { message: 'the job was cancelled', headers: { 'x-job-id': id } });
  });

  it('STORAGE_FULL when jobs that have not ended leave no room', async () => {
    const { id } = await jobs.submit({ ...endless, width: 512, height: 512 });
    await client.queueIs({ running: 1 });
    const message =
      /^the job was not accepted: it needs \d+ bytes with its results, and of the 1500000 that all jobs together may have \(jobs\.maxBytes\) \d+ are taken$/;
    await expectError(await client.postJson({ ...small, width: 512, height: 512 }), 'STORAGE_FULL', { message });
    await jobs.cancel(id);
  });

  it('QUEUE_FULL when as many wait as may', async () => {
    const running = await jobs.submit(endless);
    await client.queueIs({ running: 1 });
    const waiting = await jobs.submit(small);
    await expectError(await client.postJson(small), 'QUEUE_FULL', { message: '1 request is waiting already, at most 1 may' });
    for (const { id } of [running, waiting]) await jobs.cancel(id);
  });

  it.each([
    ['has gone', (path: string) => rmSync(path), /ENOENT.*image-0/],
    ['was cut', (path: string) => truncateSync(path, 10), /image-0: \d+ bytes were stored, 10 are there/],
  ])('INTERNAL, and not what it is, to an image whose file %s', async (_what, harm, stack) => {
    const { id } = await jobs.ended((await jobs.submit(small)).id);
    harm(join(folder, id, 'image-0'));
    const answer = await client.get(`/jobs/${id}/images/0`);
    await expectError(answer, 'INTERNAL', { message: 'an internal error; the log has it under this request id' });
    const requestId = answer.headers.get('x-request-id');
    const isOurs = (record: LogRecord) => record['requestId'] === requestId && record.message.startsWith('INTERNAL');
    await eventually('it is logged', () => server.log.some(isOurs));
    expect(server.log.find(isOurs)).toMatchObject({ level: 'error', stack: expect.stringMatching(stack) });
  });
});

describe('a server with keys and a limit answers', () => {
  const gate = new HostGate();
  let server: Server;
  const sendBy = (name: string, path: string) => new Client(server, sentBy(name)).get(path);
  beforeAll(async () => {
    gate.close();
    const args = [...withKeys({ alice: ['generate'], bob: ['metrics'] }), '--set', 'rateLimit.limit=1'];
    server = new Server(args, gate.variables);
    await server.logged(/^listening on/);
  });
  afterAll(async () => {
    gate.end();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it('ENGINE_UNAVAILABLE while the model is being loaded, and RATE_LIMITED to who asks again', async () => {
    const alice = new Client(server, sentBy('alice'));
    const counted = { 'ratelimit-limit': '1', 'ratelimit-remaining': '0', 'ratelimit-reset': /^[1-9]\d*$/ };
    const loading = { message: /^the (engine is starting|model is being loaded)$/, headers: counted };
    await expectError(await alice.postJson(small), 'ENGINE_UNAVAILABLE', loading);
    const message = /^more than 1 request in 60 s; the next one is taken in \d+ s$/;
    await expectError(await alice.postJson(small), 'RATE_LIMITED', { message, headers: counted });
  });

  it('UNAUTHENTICATED to no key, and to one that nobody knows', async () => {
    const headers = { 'www-authenticate': 'Bearer' };
    const message = 'an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY';
    await expectError(await new Client(server).get('/info'), 'UNAUTHENTICATED', { message, headers });
    await expectError(await sendBy('carol', '/info'), 'UNAUTHENTICATED', { message: 'the API key is not known', headers });
  });

  it('FORBIDDEN to a key without the scope', async () => {
    await expectError(await sendBy('alice', '/metrics'), 'FORBIDDEN', { message: 'the key alice lacks the scope metrics' });
    await expectError(await sendBy('bob', '/info'), 'FORBIDDEN', { message: 'the key bob lacks the scope generate' });
  });
});

describe('a server whose engine dies, and that is stopped at last, answers', () => {
  const gate = new HostGate();
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = new Server([], gate.variables);
    await server.logged(/^model loaded/);
    client = new Client(server);
  });
  afterAll(async () => {
    gate.end();
    expect(await server.ended).toMatchObject({ code: 0 });
  });

  /** Resolves when the server knows of it. */
  async function killHost(): Promise<void> {
    await client.queueIs({ running: 1 });
    const logged = server.log.length;
    process.kill(server.hostPid(), 'SIGKILL');
    await server.logged(/^the engine is restarting/, logged);
  }

  it('DEADLINE_EXCEEDED when a job has not ended in time', async () => {
    const message = 'the job had not ended after 100 ms';
    const answer = await client.postJson({ ...endless, timeout_ms: 100 });
    await expectError(answer, 'DEADLINE_EXCEEDED', { message, headers: ofJob });
  });

  it('ENGINE_UNAVAILABLE until the next host is ready, and ENGINE_CRASHED under whose job that dies too', async () => {
    const crashes = client.postJson(endless);
    gate.close();
    await killHost();
    await expectError(await client.postJson(small), 'ENGINE_UNAVAILABLE', { message: 'the engine is being restarted' });
    gate.open();
    await killHost();
    const message = 'the engine or the server ended 2 times under this job';
    await expectError(await crashes, 'ENGINE_CRASHED', { message, headers: ofJob });
  });

  it('INTERRUPTED to who waits when it is stopped, and ENGINE_UNAVAILABLE to who comes then', async () => {
    await server.logged(
      /^model loaded/,
      server.log.findLastIndex(({ message }) => message.startsWith('the engine is restarting')),
    );
    server.pauseHost();
    const running = client.postJson({ ...endless, num_inference_steps: 20 });
    await client.queueIs({ running: 1 });
    const waiting = client.postJson(small);
    await client.queueIs({ running: 1, pending: 1 });
    server.kill('SIGTERM');
    await expectError(await waiting, 'INTERRUPTED', { message: 'the server is stopping', headers: ofJob });
    await expectError(await client.postJson(small), 'ENGINE_UNAVAILABLE', { message: 'the server is stopping' });
    server.resumeHost();
    expect((await running).status).toBe(200);
  });
});

describe('a server whose model is changed answers', () => {
  const root = mkdtempSync(join(tmpdir(), 'qwen-models-'));
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    cpSync(demo, join(root, 'lenient'), { recursive: true });
    const scheduler = join(root, 'lenient/scheduler/scheduler_config.json');
    // Without it one step is enough.
    const config = { ...(JSON.parse(readFileSync(scheduler, 'utf8')) as object), shift_terminal: undefined };
    writeFileSync(scheduler, JSON.stringify(config));
    symlinkSync(demo, join(root, 'demo'));
    server = await Server.ready('--model', join(root, 'lenient'), '--set', `model.root=${root}`);
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
    rmSync(root, { recursive: true });
  });

  async function change(path: string, body: object): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${server.url}/admin/model/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    expect(answer.status).toBe(202);
  }

  it('UNSUPPORTED_BY_MODEL to who waited for what the next model cannot do', async () => {
    server.pauseHost();
    const running = client.postJson({ ...endless, num_inference_steps: 10 });
    await client.queueIs({ running: 1, pending: 0 });
    const waiting = client.postJson({ ...small, num_inference_steps: 1 });
    await client.queueIs({ running: 1, pending: 1 });
    await change('load', { model: 'demo' });
    server.resumeHost();
    const message = 'demo, which was loaded while the request waited, needs 2 steps at least, not 1';
    await expectError(await waiting, 'UNSUPPORTED_BY_MODEL', { message, headers: ofJob });
    expect((await running).status).toBe(200);
  });

  it('ENGINE_UNAVAILABLE while there is none', async () => {
    await change('unload', {});
    await eventually('it is unloaded', async () => {
      const { model } = (await (await client.get('/health')).json()) as { model: { state: string } };
      return model.state === 'unloaded';
    });
    await expectError(await client.postJson(small), 'ENGINE_UNAVAILABLE', { message: 'no model is loaded' });
  });
});

/* Not of this machine, whose memory is large enough: as if the engine had said so. */
describe('an engine that is out of memory', () => {
  it('is told of by OUT_OF_MEMORY', async () => {
    const { app, engine } = await startTestApi('rateLimit.enabled=false');
    const message = 'the memory does not hold this request just now';
    engine.answer = () => Promise.reject(new EngineError('OUT_OF_MEMORY', message));
    const client = new Client({ url: await app.getUrl() });
    await expectError(await client.postJson(small), 'OUT_OF_MEMORY', { message, headers: ofJob });
    await app.close();
  });
});

describe('the table of errors', () => {
  it('is the contract’s, and has no row that was not made here', () => {
    const rows = Object.entries(errorRows).map(([code, { status, retry }]) => [
      code,
      { status, retry, type: errorTypeOf(status) },
    ]);
    const answers = Object.entries(errorAnswers).map(([code, { status, retry, type }]) => [code, { status, retry, type }]);
    expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(rows));
    expect([...answeredCodes].sort()).toEqual(Object.keys(errorAnswers).sort());
  });
});
