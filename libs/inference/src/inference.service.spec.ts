import { EngineError, HostLostError } from '@app/engine';
import { ImageDecoder, ImageEncoder } from '@app/image-processing';
import { Logger } from '@nestjs/common';
import { jobOrder, jobRequest } from '../../../test/fixtures/job-request.js';
import type { Disk } from '../../../test/fixtures/memory.job-store.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { TestInference } from '../../../test/fixtures/test-inference.js';
import { InferenceService } from './inference.service.js';
import { toJobError } from './job-error.js';
import type { JobView, JobWatch, Outcome, SubmittedJob } from './job-view.js';
import type { JobEvent, JobOrder } from './job.types.js';
import { ServiceError } from './service.error.js';

const never = new AbortController().signal;
const isAsync: Partial<JobOrder> = { async: true };
const keyed: Partial<JobOrder> = { idempotency: { key: 'a key', fingerprint: 'of the request' } };

describe(InferenceService.name, () => {
  let disk: Disk;
  let server: TestInference;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(async () => {
    disk = new Map();
    server = await new TestInference(disk).open();
  });
  afterEach(() => jest.useRealTimers());

  function submit(order: Partial<JobOrder> = {}, to = server): Promise<SubmittedJob> {
    return to.service.submit(() => jobRequest(), [], jobOrder(order));
  }

  /** How a client fares that waits for its answer. */
  async function answered(job: SubmittedJob, gone: AbortSignal = never): Promise<Outcome | string> {
    try {
      return await job.outcome(gone);
    } catch (error) {
      return toJobError(error).code;
    }
  }

  async function submitRunning(order: Partial<JobOrder> = {}): Promise<SubmittedJob> {
    const begun = server.runner.next();
    const job = await submit(order);
    await begun;
    return job;
  }

  async function stateOf(id: string, of = server): Promise<string | undefined> {
    return (await of.service.view(id))?.record.state;
  }

  /** The next server on the same disk. */
  async function restart(): Promise<void> {
    server = await new TestInference(disk).open();
    await settled();
  }

  describe('accepts', () => {
    it('a job that is stored, and gives it with its result', async () => {
      const job = await submitRunning();
      expect(server.store.recordOf(job.id).state).toBe('queued');
      server.runner.latest.finish(jobResult('mine'));
      const { id, kind, result } = (await answered(job)) as Outcome;
      expect([id, kind, result.images[0]?.bytes.toString()]).toEqual([job.id, 'text-to-image', 'mine']);
      expect(server.service.tally()).toEqual({ accepted: 1, ended: { completed: 1, failed: 0, cancelled: 0 } });
    });

    it('nothing that cannot be stored, and keeps no place for it', async () => {
      server = new TestInference(disk, { maxPending: 0 });
      const full = new ServiceError('STORAGE_FULL', 'no room');
      server.store.before = () => Promise.reject(full);
      for (let i = 0; i < 3; i++) await expect(submit()).rejects.toBe(full);
      expect(server.service.tally().accepted).toBe(0);
      server.store.before = () => {};
      await submit();
    });

    it('no more than may wait, those that are being stored among them', async () => {
      server = new TestInference(disk, { maxPending: 2 });
      server.store.before = () => settled();
      const outcomes = await Promise.allSettled([1, 2, 3, 4, 5].map(() => submit()));
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
      expect((outcomes[4] as PromiseRejectedResult).reason).toMatchObject({ code: 'QUEUE_FULL' });
    });

    it.each(['starting', 'loading', 'restarting', 'failed', 'stopped'] as const)(
      'nothing while the engine is %s',
      async (state) => {
        server.engine.become({ state, retryAfterS: 9 });
        await expect(submit()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', retryAfterS: 9 });
        expect(disk.size).toBe(0);
      },
    );

    it('nothing new while it drains', async () => {
      await server.service.drain(1000);
      expect(server.service.isDraining).toBe(true);
      await expect(submit()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', message: 'the server is stopping' });
      expect(server.service.knowsKey(null, 'a key')).toBe(false);
    });

    it('nothing that is likely to come too late', async () => {
      server.estimate.record(jobRequest(), { denoiseMs: 5000 }, 5000);
      await expect(submit({ timeoutMs: 4999 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(disk.size).toBe(0);
    });
  });

  describe('tells', () => {
    it('where a job stands', async () => {
      const running = await submitRunning();
      const waiting = await submit();
      expect(await running.view()).toMatchObject({
        record: { state: 'running', attempt: 1 },
        position: null,
        expiresAt: null,
        keptMs: null,
      });
      expect(await waiting.view()).toMatchObject({ record: { state: 'queued' }, position: 1, expiresAt: null, keptMs: null });
      server.runner.latest.finish();
      await answered(running);
      const ended = (await server.service.view(running.id))!;
      expect(ended).toMatchObject({ record: { state: 'completed' }, position: null, etaMs: null });
      expect(ended.expiresAt).toBe((ended.record.finishedAt ?? 0) + 3_600_000);
    });

    it('nothing of a job that never was', async () => {
      expect(await server.service.view('nobody')).toBeNull();
      expect(await server.service.cancel('nobody')).toBeNull();
      expect(await server.service.image('nobody', 0)).toBeNull();
    });

    it('images when the job has completed, and not before', async () => {
      const job = await submitRunning(isAsync);
      await expect(server.service.image(job.id, 0)).rejects.toMatchObject({ code: 'NOT_READY', retryAfterS: 1 });
      server.runner.latest.finish(jobResult('mine'));
      await settled();
      expect((await server.service.image(job.id, 0))?.bytes.toString()).toBe('mine');
      expect(await server.service.image(job.id, 1)).toBeNull();
    });

    it('no image of a job that has failed', async () => {
      const job = await submitRunning(isAsync);
      server.runner.latest.fail(new EngineError('OUT_OF_MEMORY', 'too large'));
      await settled();
      expect(await server.service.image(job.id, 0)).toBeNull();
    });

    it('an image in another format, as if it had been asked for', async () => {
      const pixels = { width: 4, height: 4, channels: 3 as const, data: new Uint8Array(48).fill(200) };
      const bytes = await new ImageEncoder().encode(
        pixels,
        { format: 'png', quality: 0 },
        { fromImage: false, description: null },
      );
      const parameters = { prompt: 'p', negative_prompt: ' ', seed: 5, output_format: 'png', output_metadata: true };
      const image = { bytes, seed: 5, width: 4, height: 4, format: 'png' as const };
      const result = { ...jobResult(), images: [image], parameters };
      const outcome: Outcome = { id: 'x', kind: 'text-to-image', createdAt: 0, result };
      const anew = await server.service.imageAs(outcome, 0, { format: 'webp', quality: 80 });
      expect(anew).toMatchObject({ seed: 5, width: 4, height: 4, format: 'webp' });
      expect(anew.bytes.includes('"output_quality":80')).toBe(true);
      const { data } = await new ImageDecoder({ maxInputPixels: 100, decodeTimeoutMs: 10_000 }).decode({
        field: 'image',
        bytes: anew.bytes,
      });
      expect(Math.abs((data[0] ?? 0) - 200)).toBeLessThan(8);
      expect(() => server.service.imageAs(outcome, 1, { format: 'webp', quality: 80 })).toThrow('there is no image 1');
    });

    it('how a job ended to whoever asks after its end', async () => {
      const failed = await submitRunning();
      server.runner.latest.fail(new EngineError('NUMERICAL_FAILURE', 'NaN while decoding'));
      await settled();
      expect(server.ledger.liveJob(failed.id)).toBeNull();
      await expect(failed.outcome(never)).rejects.toThrow('NaN while decoding');
      expect(await answered(failed)).toBe('NUMERICAL_FAILURE');
      const completed = await submitRunning();
      server.runner.latest.finish(jobResult('mine'));
      await settled();
      expect(((await answered(completed)) as Outcome).result).toEqual(jobResult('mine'));
    });
  });

  describe('cancels', () => {
    it('a waiting job, and answers when that is stored', async () => {
      await submitRunning();
      const job = await submit(isAsync);
      server.store.before = () => settled();
      expect(await server.service.cancel(job.id)).toMatchObject({ record: { state: 'cancelled' } });
      expect(server.store.recordOf(job.id).state).toBe('cancelled');
    });

    it('a running job, and answers when it has stopped', async () => {
      const job = await submitRunning();
      const outcome = answered(job);
      expect(await server.service.cancel(job.id)).toMatchObject({ record: { state: 'cancelled', error: { code: 'CANCELLED' } } });
      expect(await outcome).toBe('CANCELLED');
    });

    it('with patience for a step', async () => {
      const job = await submitRunning(isAsync);
      server.runner.stops = false;
      let view: JobView | null = null;
      void server.service.cancel(job.id).then((it) => (view = it));
      await settled();
      expect(view).toBeNull();
      server.runner.latest.fail(new Error('stopped at last'));
      await settled();
      expect(view).toMatchObject({ record: { state: 'cancelled' } });
    });

    it('nothing that has ended', async () => {
      const job = await submitRunning();
      server.runner.latest.finish();
      await answered(job);
      expect(await server.service.cancel(job.id)).toMatchObject({ record: { state: 'completed' } });
      expect(await server.service.cancel(job.id)).toMatchObject({ record: { state: 'completed' } });
    });

    it('nothing that ends at the same moment, and loses no result', async () => {
      const job = await submitRunning();
      const outcome = answered(job);
      server.runner.latest.finish(jobResult('mine'));
      const view = server.service.cancel(job.id);
      expect(await view).toMatchObject({ record: { state: 'completed' } });
      expect(((await outcome) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    });

    it('a job that is being stored as ended, no more', async () => {
      const job = await submitRunning(isAsync);
      let write = () => {};
      server.store.before = () => new Promise((resolve) => (write = resolve));
      server.runner.latest.finish();
      await settled();
      const view = server.service.cancel(job.id);
      await settled();
      write();
      expect(await view).toMatchObject({ record: { state: 'completed' } });
    });
  });

  describe('a client that goes away', () => {
    beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));

    it('cancels its plain job at once', async () => {
      const job = await submitRunning();
      const client = new AbortController();
      const outcome = answered(job, client.signal);
      client.abort();
      expect(await outcome).toBe('CANCELLED');
      expect(server.service.depth()).toMatchObject({ pending: 0, running: 0 });
    });

    it('before its job was accepted has none that runs', async () => {
      await submitRunning();
      const job = await submit();
      expect(await answered(job, AbortSignal.abort())).toBe('CANCELLED');
      expect(server.runner.runs).toHaveLength(1);
    });

    it('cancels no job that nobody waits for', async () => {
      const job = await submitRunning(isAsync);
      const client = new AbortController();
      void answered(job, client.signal);
      client.abort();
      await jest.advanceTimersByTimeAsync(120_000);
      expect(await stateOf(job.id)).toBe('running');
    });

    it('cancels its keyed job when it does not come back in time', async () => {
      const job = await submitRunning(keyed);
      const client = new AbortController();
      const outcome = answered(job, client.signal);
      client.abort();
      await jest.advanceTimersByTimeAsync(59_999);
      expect(await stateOf(job.id)).toBe('running');
      await jest.advanceTimersByTimeAsync(1);
      expect(await outcome).toBe('CANCELLED');
      expect(server.service.knowsKey(null, 'a key')).toBe(false);
    });

    it('finds its keyed job when it comes back', async () => {
      const job = await submitRunning(keyed);
      const client = new AbortController();
      void answered(job, client.signal);
      client.abort();
      await jest.advanceTimersByTimeAsync(59_999);
      const again = await submit(keyed);
      const outcome = answered(again);
      await jest.advanceTimersByTimeAsync(120_000);
      expect([again.id, await stateOf(job.id)]).toEqual([job.id, 'running']);
      server.runner.latest.finish(jobResult('mine'));
      expect(((await outcome) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    });

    it('leaves the job to the others that wait for it', async () => {
      const job = await submitRunning(keyed);
      const clients = [new AbortController(), new AbortController()];
      const outcomes = [answered(job, clients[0]?.signal), answered(await submit(keyed), clients[1]?.signal)];
      clients[0]?.abort();
      await jest.advanceTimersByTimeAsync(120_000);
      expect(await stateOf(job.id)).toBe('running');
      clients[1]?.abort();
      await jest.advanceTimersByTimeAsync(60_000);
      expect(await Promise.all(outcomes)).toEqual(['CANCELLED', 'CANCELLED']);
    });

    it('leaves the job that somebody wants without waiting for it', async () => {
      const job = await submitRunning(keyed);
      const client = new AbortController();
      void answered(job, client.signal);
      client.abort();
      expect((await submit({ ...keyed, ...isAsync })).id).toBe(job.id);
      await jest.advanceTimersByTimeAsync(120_000);
      expect(await stateOf(job.id)).toBe('running');
      expect(server.store.recordOf(job.id).order.async).toBe(true);
    });
  });

  describe('joins the same request', () => {
    it('while its job waits, runs, and when it has completed', async () => {
      await submitRunning();
      const job = await submit(keyed);
      expect((await submit(keyed)).id).toBe(job.id);
      const begun = server.runner.next();
      server.runner.latest.finish();
      await begun;
      const outcomes = [answered(job), answered(await submit(keyed))];
      server.runner.latest.finish(jobResult('mine'));
      await settled();
      outcomes.push(answered(await submit(keyed)));
      for (const outcome of await Promise.all(outcomes)) {
        expect((outcome as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
      }
      expect(server.service.tally().accepted).toBe(2);
    });

    it('also while the engine is away or the queue is full', async () => {
      server = new TestInference(disk, { maxPending: 0 });
      const job = await submit(keyed);
      await expect(submit()).rejects.toMatchObject({ code: 'QUEUE_FULL' });
      server.engine.become({ state: 'restarting' });
      expect(server.service.knowsKey(null, 'a key')).toBe(true);
      expect((await submit(keyed)).id).toBe(job.id);
    });

    it('that comes while the first is being stored', async () => {
      server.store.before = () => settled();
      const [first, second] = await Promise.all([submit(keyed), submit(keyed)]);
      expect(second.id).toBe(first.id);
      expect(disk.size).toBe(1);
    });

    it('not another with the same key, nor that of another owner', async () => {
      const job = await submit(keyed);
      const other = { idempotency: { key: 'a key', fingerprint: 'of another' } };
      await expect(submit(other)).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
      expect((await submit({ ...other, owner: 'somebody else' })).id).not.toBe(job.id);
    });

    it.each(['failed', 'cancelled'])('not when its job has %s', async (state) => {
      const job = await submitRunning(keyed);
      if (state === 'failed') server.runner.latest.fail(new Error('no such luck'));
      else void server.service.cancel(job.id);
      await answered(job);
      const next = await submit({ idempotency: { key: 'a key', fingerprint: 'of another' } });
      expect(next.id).not.toBe(job.id);
      expect(await stateOf(next.id)).toMatch(/queued|running/);
    });

    it('not when its job is forgotten, swept away or not yet', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
      server = new TestInference(disk, { ttlMs: 40_000 });
      await jest.advanceTimersByTimeAsync(1);
      const job = await submitRunning(keyed);
      server.runner.latest.finish();
      await answered(job);
      await jest.advanceTimersByTimeAsync(39_998);
      const joined = await submit(keyed);
      expect(joined.id).toBe(job.id);
      await jest.advanceTimersByTimeAsync(2);
      expect(await answered(joined)).toBe('INTERRUPTED');
      expect(disk.has(job.id)).toBe(true);
      const next = await submit(keyed);
      expect(next.id).not.toBe(job.id);
      expect(await stateOf(next.id)).toMatch(/queued|running/);
    });

    it('and does not write over its end', async () => {
      const job = await submitRunning(keyed);
      let write = () => {};
      server.store.before = (call) => (call === 'finish' ? new Promise((resolve) => (write = resolve)) : undefined);
      server.runner.latest.finish();
      await settled();
      const joined = await submit({ ...keyed, ...isAsync });
      expect(joined.id).toBe(job.id);
      write();
      await settled();
      expect(server.store.calls.map(({ call }) => call)).toEqual(['create', 'save', 'finish']);
      expect(server.store.recordOf(job.id).state).toBe('completed');
    });
  });

  describe('lets a job be watched', () => {
    function collect(watch: JobWatch): { events: JobEvent[]; turn: () => Promise<boolean> } {
      const events: JobEvent[] = [];
      const turn = async () => {
        const nothingFollows = watch.isOver;
        events.push(...(await watch.since(events.at(-1)?.id ?? 0)));
        return nothingFollows;
      };
      return { events, turn };
    }

    it('from its beginning to its one end', async () => {
      const job = await submit(isAsync);
      const watch = server.service.watch(job.id);
      const { events, turn } = collect(watch);
      let isLast = false;
      const forget = watch.onChange(() => void turn().then((last) => (isLast ||= last)));
      await turn();
      await settled();
      server.runner.latest.job.events.progress({ step: 1 });
      await settled();
      server.runner.latest.finish();
      await settled();
      forget();
      expect(events.map(({ name }) => name)).toEqual(['queued', 'started', 'progress', 'completed']);
      expect(isLast).toBe(true);
    });

    it('and tells its end to nobody before it is stored', async () => {
      const job = await submitRunning(isAsync);
      let write = () => {};
      server.store.before = () => new Promise((resolve) => (write = resolve));
      const watch = server.service.watch(job.id);
      server.runner.latest.finish();
      await settled();
      let told: readonly JobEvent[] = [];
      void watch.since(0).then((events) => (told = events));
      await settled();
      expect(told).toEqual([]);
      write();
      await settled();
      expect(told.at(-1)?.name).toBe('completed');
    });

    it('after its end', async () => {
      const job = await submitRunning(isAsync);
      server.runner.latest.finish();
      await settled();
      const watch = server.service.watch(job.id);
      expect(watch.isOver).toBe(true);
      const events = await watch.since(0);
      expect(events.map(({ name }) => name)).toEqual(['queued', 'started', 'completed']);
      expect(await watch.since(events.at(-1)?.id ?? 0)).toEqual([]);
    });

    it('until the server stops', async () => {
      const job = await submitRunning(isAsync);
      const watch = server.service.watch(job.id);
      const change = jest.fn();
      watch.onChange(change);
      await server.service.drain(0);
      expect(change).toHaveBeenCalled();
      expect(watch.isOver).toBe(true);
      expect((await watch.since(0)).map(({ name }) => name)).toEqual(['queued', 'started']);
    });

    it('over a restart, with rising ids', async () => {
      const job = await submitRunning(isAsync);
      const before = await server.service.watch(job.id).since(0);
      await server.end();
      await restart();
      const { events, turn } = collect(server.service.watch(job.id));
      await turn();
      server.runner.latest.finish();
      await settled();
      await turn();
      const ids = [...before, ...events.filter(({ id }) => id > (before.at(-1)?.id ?? 0))].map(({ id }) => id);
      expect(ids).toEqual([...ids].sort((a, b) => a - b));
      expect(events.filter(({ name }) => name === 'completed')).toHaveLength(1);
    });
  });

  describe('when the server stops', () => {
    it('ends plain jobs that wait, lets the running one finish, leaves the others', async () => {
      const running = await submitRunning();
      const plain = await submit();
      const kept = await submit(isAsync);
      const outcomes = [running, plain].map((job) => answered(job));
      const drained = server.end(60_000);
      await settled();
      server.runner.latest.finish(jobResult('mine'));
      const [first, second] = await Promise.all(outcomes);
      expect([(first as Outcome).id, second]).toEqual([running.id, 'INTERRUPTED']);
      await drained;
      expect(server.store.recordOf(kept.id).state).toBe('queued');
      const { accepted, ended } = server.service.tally();
      expect([accepted, ended, server.service.depth().pending]).toEqual([3, { completed: 1, failed: 1, cancelled: 0 }, 1]);
      await restart();
      expect(await stateOf(kept.id)).toBe('running');
      expect(server.service.tally().accepted).toBe(1);
    });

    it('tells those that wait for a durable job that it was interrupted, and the next server runs it', async () => {
      const job = await submitRunning(keyed);
      const outcome = answered(job);
      await server.end();
      expect(await outcome).toBe('INTERRUPTED');
      await restart();
      const again = await submit(keyed);
      expect(again.id).toBe(job.id);
      expect(server.runner.latest.job).toMatchObject({ id: job.id, attempt: 1 });
      server.runner.latest.finish(jobResult('mine'));
      expect(((await answered(again)) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    });

    it('cancels nothing that it has left to the next one, which does', async () => {
      const { id } = await submit(isAsync);
      await server.service.drain(0);
      await expect(server.service.cancel(id)).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
      await restart();
      expect(await server.service.cancel(id)).toMatchObject({ record: { state: 'cancelled' } });
    });

    it('takes back a run that it stopped, as often as that may be', async () => {
      const { id } = await submitRunning(isAsync);
      for (let i = 0; i < 5; i++) {
        await server.end();
        expect(server.store.recordOf(id)).toMatchObject({ state: 'queued', attempt: 0 });
        await restart();
      }
      expect(server.runner.latest.job).toMatchObject({ id, attempt: 1 });
    });

    it('accepts what was being stored, for the next one', async () => {
      let write = () => {};
      server.store.before = () => new Promise((resolve) => (write = resolve));
      const submitted = submit(isAsync);
      await settled();
      const drained = server.end();
      await settled();
      server.store.before = () => {};
      write();
      const { id } = await submitted;
      await drained;
      await restart();
      expect(await stateOf(id)).toBe('running');
    });
  });

  describe('when the server is killed', () => {
    async function kill(): Promise<void> {
      server.store.kill();
      await restart();
    }

    it('runs durable jobs, ends plain ones', async () => {
      const plain = await submitRunning();
      const jobs = [await submit(isAsync), await submit(keyed)];
      await kill();
      expect(await server.service.view(plain.id)).toMatchObject({
        record: { state: 'failed', error: { code: 'INTERRUPTED', message: 'the server was restarted' } },
      });
      expect(server.service.tally()).toEqual({ accepted: 3, ended: { completed: 0, failed: 1, cancelled: 0 } });
      expect(await stateOf(jobs[0]!.id)).toBe('running');
      server.runner.latest.finish();
      await settled();
      expect(await stateOf(jobs[1]!.id)).toBe('running');
    });

    it('gives a job up that was running when it was, twice', async () => {
      const { id } = await submitRunning(isAsync);
      await kill();
      expect(server.runner.latest.job).toMatchObject({ id, attempt: 2 });
      const other = await submit(isAsync);
      await kill();
      expect(await server.service.view(id)).toMatchObject({ record: { state: 'failed', error: { code: 'ENGINE_CRASHED' } } });
      expect(server.runner.latest.job).toMatchObject({ id: other.id, attempt: 1 });
    });

    it('counts a host that was lost before', async () => {
      const { id } = await submitRunning(isAsync);
      const again = server.runner.next();
      server.runner.latest.fail(new HostLostError('gone'));
      await again;
      await kill();
      expect(await server.service.view(id)).toMatchObject({ record: { state: 'failed', error: { code: 'ENGINE_CRASHED' } } });
    });

    it('runs a job that only waited as often as it must', async () => {
      const blocked = server.runner;
      blocked.ready = new Promise(() => {});
      const { id } = await submit(isAsync);
      for (let i = 0; i < 3; i++) {
        server.store.kill();
        const next = new TestInference(disk);
        next.runner.ready = new Promise(() => {});
        server = await next.open();
      }
      await kill();
      expect(server.runner.latest.job).toMatchObject({ id, attempt: 1 });
    });

    it('does not run what was told to have ended', async () => {
      const job = await submitRunning(keyed);
      server.runner.latest.finish(jobResult('mine'));
      await answered(job);
      await kill();
      expect(server.runner.runs).toHaveLength(0);
      expect(((await answered(await submit(keyed))) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
      expect((await server.service.image(job.id, 0))?.bytes.toString()).toBe('mine');
    });

    it('tells nobody of an end that it had not stored', async () => {
      const job = await submitRunning(isAsync);
      server.store.before = () => new Promise(() => {});
      server.runner.latest.finish();
      await settled();
      let told: unknown = null;
      void server.service.view(job.id).then((view) => (told = view));
      await settled();
      expect(told).toBeNull();
      await kill();
      expect(await stateOf(job.id)).toBe('running');
    });
  });

  it('tells an end that cannot be stored, and stores it later', async () => {
    const job = await submitRunning();
    server.store.before = () => Promise.reject(new Error('ENOSPC'));
    const outcome = answered(job);
    server.runner.latest.finish(jobResult('mine'));
    expect(((await outcome) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    expect(await stateOf(job.id)).toBe('completed');
    expect((await server.service.image(job.id, 0))?.bytes.toString()).toBe('mine');
    expect((await server.service.watch(job.id).since(0)).at(-1)?.name).toBe('completed');
    server.store.before = () => {};
    await server.end();
    expect(server.store.recordOf(job.id).state).toBe('completed');
  });

  it('ends a job whose time is over, waiting or running', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    const running = await submitRunning({ timeoutMs: 5000 });
    const waiting = await submit({ ...isAsync, timeoutMs: 1000 });
    const outcome = answered(running);
    await jest.advanceTimersByTimeAsync(1000);
    expect(await waiting.view()).toMatchObject({ record: { state: 'failed', error: { code: 'DEADLINE_EXCEEDED' } } });
    await jest.advanceTimersByTimeAsync(4000);
    expect(await outcome).toBe('DEADLINE_EXCEEDED');
  });
});
