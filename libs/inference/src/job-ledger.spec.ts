import { Logger } from '@nestjs/common';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newJob } from '../../../test/fixtures/job-request.js';
import { MemoryJobStore, type Disk } from '../../../test/fixtures/memory.job-store.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { JobLedger } from './job-ledger.js';
import type { Job } from './job.js';
import type { JobOrder, JobRecord, JobResult } from './job.types.js';
import { largestResult } from './result-size.js';
import { FileJobStore } from './store/file.job-store.js';

const ttlMs = 1000;
const sweepMs = ttlMs;
/** More than a job of these specs may reserve. */
const reserved = 200_000;

const keyed = { idempotency: { key: 'a key', fingerprint: 'f' } };

describe(JobLedger.name, () => {
  let disk: Disk;
  let store: MemoryJobStore;
  let ledger: JobLedger;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    disk = new Map();
    ledger = newLedger();
  });
  afterEach(() => jest.useRealTimers());

  /** Of another server on the same disk. */
  function newLedger(maxBytes = Infinity): JobLedger {
    store = new MemoryJobStore(disk, maxBytes);
    return new JobLedger(store, { ttlMs, maxBytes });
  }

  async function addJob(order: Partial<JobOrder> = {}, ended = new Promise<JobResult>(() => {})): Promise<Job> {
    const job = newJob({}, order);
    await ledger.add(job, []);
    ledger.track(job, ended);
    return job;
  }

  function complete(job: Job, result: JobResult = jobResult()): Promise<void> {
    job.moveTo('running');
    job.outcome = { ...result, images: result.images.map(({ bytes, ...image }) => ({ ...image, bytes: bytes.length })) };
    job.moveTo('completed');
    return ledger.settle(job, result);
  }

  async function addCompleted(content: string | number, order: Partial<JobOrder> = {}): Promise<Job> {
    const job = await addJob(order);
    await complete(job, jobResult(typeof content === 'string' ? content : 'x'.repeat(content)));
    return job;
  }

  async function pass(ms: number): Promise<void> {
    await jest.advanceTimersByTimeAsync(ms);
    await settled();
  }

  it('stores a job with its files before it is found', async () => {
    const job = newJob({ inputs: ['image'] }, { async: true });
    await ledger.add(job, [{ field: 'image', bytes: Buffer.from('a picture') }]);
    expect(await ledger.record(job.id)).toBeNull();
    ledger.track(job, new Promise(() => {}));
    expect(await ledger.record(job.id)).toEqual(store.recordOf(job.id));
    expect(await ledger.readInputs(job)).toEqual([{ field: 'image', bytes: Buffer.from('a picture') }]);
    expect(ledger.liveJob(job.id)).toBe(job);
  });

  it.each([
    [{}, false],
    [{ async: true }, true],
    [keyed, true],
  ])('waits for the disk when the next server is to find it: %j, %s', async (order, durable) => {
    const job = await addJob(order);
    expect(disk.get(job.id)?.durable).toBe(durable);
    await complete(job);
    expect(disk.get(job.id)?.durable).toBe(durable);
  });

  it('keeps nothing of a stored end in memory but where to find it', async () => {
    const job = await addCompleted('a picture');
    expect(ledger.liveJob(job.id)).toBeNull();
    expect(ledger.ended(job.id)).toBeNull();
    const record = await ledger.record(job.id);
    expect(record).toEqual(store.recordOf(job.id));
    const { bytes } = (await ledger.image(record!, 0))!;
    expect(bytes.toString()).toBe('a picture');
    expect(await ledger.image(record!, 1)).toBeNull();
  });

  it.each(['failed', 'cancelled'] as const)('gives back what was kept free for a job that has %s', async (state) => {
    const job = await addJob();
    expect(store.usedBytes()).toBeGreaterThan(0);
    job.moveTo(state);
    await ledger.settle(job, null);
    expect(store.usedBytes()).toBe(0);
    expect(await ledger.record(job.id)).toMatchObject({ state });
  });

  it('does not tell of an end before it is stored', async () => {
    let end: (result: JobResult) => void = () => {};
    const job = await addJob({}, new Promise((resolve) => (end = resolve)));
    let write = () => {};
    store.before = (call) => (call === 'finish' ? new Promise((resolve) => (write = resolve)) : undefined);
    const stored = complete(job).then(() => end(jobResult()));
    let record: unknown = 'nothing yet';
    void ledger.record(job.id).then((it) => (record = it));
    await settled();
    expect(record).toBe('nothing yet');
    write();
    await stored;
    await settled();
    expect(record).toMatchObject({ state: 'completed' });
  });

  describe('notes', () => {
    it('a run of a durable job before it begins', async () => {
      const job = await addJob({ async: true });
      job.moveTo('running');
      await ledger.noteRun(job);
      expect(store.recordOf(job.id)).toMatchObject({ state: 'running', attempt: 1 });
    });

    it('no run of a plain one, which is never run again', async () => {
      const job = await addJob();
      job.moveTo('running');
      await ledger.noteRun(job);
      expect(store.calls.map(({ call }) => call)).toEqual(['create']);
    });

    it('what is left to the next server', async () => {
      const job = await addJob({ async: true });
      job.moveTo('running');
      await ledger.noteRun(job);
      job.moveTo('queued');
      job.takeBackAttempt();
      await ledger.settle(job, null);
      expect(store.recordOf(job.id)).toMatchObject({ state: 'queued', attempt: 0 });
      expect(ledger.liveJob(job.id)).toBe(job);
    });

    it('what it can, when the disk is full', async () => {
      const job = await addJob(keyed);
      store.before = () => Promise.reject(new Error('ENOSPC'));
      job.moveTo('running');
      await ledger.noteRun(job);
      job.becomeAsync();
      await ledger.noteOrder(job);
      expect(store.recordOf(job.id)).toMatchObject({ state: 'queued', order: { async: false } });
    });

    it('a preview, which is told when it is stored and left out when it cannot be', async () => {
      const job = await addJob();
      await ledger.addPreview(job, { image: 0, index: 0 });
      store.before = () => Promise.reject(new Error('ENOSPC'));
      await expect(ledger.addPreview(job, { image: 0, index: 1 })).rejects.toThrow('ENOSPC');
      expect(job.events.since(0)).toMatchObject([{ name: 'preview', data: { index: 0 } }]);
      expect(await store.readPreviews(job.id)).toEqual(job.events.since(0));
    });
  });

  it('gives events of an ended job with its previews, in order', async () => {
    const job = await addJob();
    job.events.started({ attempt: 1 });
    await ledger.addPreview(job, { image: 0, index: 0 });
    job.events.progress({ step: 2 });
    await complete(job);
    const events = await ledger.eventsOfEnded(job.id);
    expect(events.map(({ name }) => name)).toEqual(['started', 'preview', 'progress', 'completed']);
    expect(events.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    expect(await ledger.eventsOfEnded('nobody')).toEqual([]);
  });

  describe('an end that cannot be stored', () => {
    let job: Job;

    beforeEach(async () => {
      job = await addJob(keyed, Promise.resolve(jobResult()));
      store.before = () => Promise.reject(new Error('ENOSPC'));
      await complete(job, jobResult('held'));
    });

    it('is told from memory, with its pictures', async () => {
      const record = (await ledger.record(job.id))!;
      expect(record).toMatchObject({ state: 'completed' });
      expect((await ledger.image(record, 0))?.bytes.toString()).toBe('held');
      expect(store.recordOf(job.id).state).toBe('queued');
    });

    it('is tried again until it is', async () => {
      await pass(3 * sweepMs);
      expect(ledger.liveJob(job.id)).toBe(job);
      expect(store.calls.filter(({ call }) => call === 'finish')).toHaveLength(4);
      store.before = () => {};
      await pass(sweepMs);
      expect(store.recordOf(job.id).state).toBe('completed');
      expect(ledger.liveJob(job.id)).toBeNull();
      const record = (await ledger.record(job.id))!;
      expect((await ledger.image(record, 0))?.bytes.toString()).toBe('held');
    });

    it('keeps its key', async () => {
      const join = () => ledger.keys.join(null, keyed.idempotency, () => Promise.resolve('a new one'));
      ledger.keys.add(job.id, job.order);
      expect(await join()).toBe(job.id);
    });

    it('has a last chance when the server ends', async () => {
      store.before = () => {};
      await ledger.onApplicationShutdown();
      expect(store.recordOf(job.id).state).toBe('completed');
      expect(store.isClosed).toBe(true);
    });
  });

  describe('forgets', () => {
    it('ended jobs after their time, and only those', async () => {
      const old = await addCompleted('old');
      const waiting = await addJob();
      await pass(ttlMs / 2);
      const young = await addCompleted('young');
      await pass(ttlMs / 2);
      expect(await ledger.record(old.id)).toBeNull();
      expect([...disk.keys()]).toEqual([waiting.id, young.id]);
      await pass(10 * ttlMs);
      expect([...disk.keys()]).toEqual([waiting.id]);
      expect(await ledger.record(waiting.id)).toMatchObject({ state: 'queued' });
    });

    it('them at that time, though the files go with the next sweep', async () => {
      await pass(sweepMs / 2);
      const job = await addCompleted('picture', keyed);
      ledger.keys.add(job.id, job.order);
      expect(ledger.keys.has(null, 'a key')).toBe(true);
      await pass(ttlMs);
      expect(disk.size).toBe(1);
      expect(await ledger.record(job.id)).toBeNull();
      expect(ledger.keys.has(null, 'a key')).toBe(false);
      await pass(sweepMs / 2);
      expect(disk.size).toBe(0);
    });

    it.each([-1e9, 1e9])('them no sooner and no later when the clock is set by %d ms', async (jump) => {
      const job = await addCompleted('picture');
      const { finishedAt } = store.recordOf(job.id);
      jest.setSystemTime(Date.now() + jump);
      const other = await addCompleted('picture');
      await pass(ttlMs - 1);
      const expiry = ledger.expiryOf((await ledger.record(job.id))!);
      expect(expiry).toEqual({ expiresAt: finishedAt! + ttlMs, keptMs: 1 });
      expect(await ledger.record(job.id)).not.toBeNull();
      expect(await ledger.record(other.id)).not.toBeNull();
      await pass(2);
      expect(await ledger.record(job.id)).toBeNull();
      expect(await ledger.record(other.id)).toBeNull();
    });

    it('files again that could not be removed, of which nobody hears meanwhile', async () => {
      const job = await addCompleted('picture');
      store.before = (call) => (call === 'remove' ? Promise.reject(new Error('EIO')) : undefined);
      await pass(ttlMs + sweepMs);
      expect([disk.has(job.id), await ledger.record(job.id)]).toEqual([true, null]);
      store.before = () => {};
      await pass(sweepMs);
      expect(disk.has(job.id)).toBe(false);
    });
  });

  describe('makes room', () => {
    const picture = 100_000;

    it('for a new job, by forgetting ended ones, the oldest first and no more than it must', async () => {
      ledger = newLedger(6 * picture + reserved);
      const jobs: Job[] = [];
      for (let i = 0; i < 6; i++) jobs.push(await addCompleted(picture));
      const inputs = [{ field: 'image', bytes: Buffer.alloc(2.5 * picture) }];
      const next = newJob({ inputs: ['image'] });
      await ledger.add(next, inputs);
      const ids = jobs.map(({ id }) => id);
      expect([...disk.keys()]).toEqual([...ids.slice(2), next.id]);
      expect(await ledger.record(ids[1]!)).toBeNull();
      expect(store.usedBytes()).toBeLessThanOrEqual(6 * picture + reserved);
    });

    it('first by forgetting those whose one client has had the answer', async () => {
      ledger = newLedger(6 * picture + reserved);
      const orders = [{ async: true }, { idempotency: { key: 'k', fingerprint: 'f' } }, {}, { async: true }, {}, {}];
      const jobs: Job[] = [];
      for (const order of orders) jobs.push(await addCompleted(picture, order));
      const next = newJob({ inputs: ['image'] });
      await ledger.add(next, [{ field: 'image', bytes: Buffer.alloc(4.5 * picture) }]);
      // The three plain ones, and then the oldest of the others.
      expect([...disk.keys()]).toEqual([jobs[1]!.id, jobs[3]!.id, next.id]);
    });

    it('never by forgetting jobs that have not ended', async () => {
      ledger = newLedger(reserved);
      const running = await addJob();
      running.moveTo('running');
      await addJob();
      await expect(addJob().then(() => addJob())).rejects.toMatchObject({ code: 'STORAGE_FULL' });
      await pass(2 * sweepMs);
      expect(disk.has(running.id)).toBe(true);
    });

    it('not for one that would not fit all the same', async () => {
      const each = largestResult(newJob());
      ledger = newLedger(2 * picture + 2 * each);
      const kept = [await addCompleted(picture), await addCompleted(picture)];
      const unfinished = await addJob();
      const wanted = newJob({ inputs: ['image'] });
      const files = [{ field: 'image', bytes: Buffer.alloc(2 * picture + 1) }];
      await expect(ledger.add(wanted, files)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
      expect([...disk.keys()]).toEqual([...kept, unfinished].map(({ id }) => id));
    });

    it('not for one that never fits, which is told so', async () => {
      ledger = newLedger(2 * picture + largestResult(newJob()));
      const kept = [await addCompleted(picture), await addCompleted(picture)];
      const filesOf = (bytes: number) => [{ field: 'image', bytes: Buffer.alloc(bytes) }];
      const huge = newJob({ inputs: ['image'] });
      await expect(ledger.add(huge, filesOf(2 * picture + 1))).rejects.toMatchObject({
        code: 'REQUEST_TOO_LARGE',
        message: expect.stringMatching(
          /^one image of 16x16 needs \d+ bytes to be stored with its results, and all jobs together may have \d+; ask for .* jobs\.maxBytes$/,
        ),
        faults: [{ field: 'width', message: expect.stringContaining('a smaller start picture') }],
      });
      expect([...disk.keys()]).toEqual(kept.map(({ id }) => id));
      await ledger.add(huge, filesOf(2 * picture));
      expect([...disk.keys()]).toEqual([huge.id]);
    });

    it('by what the store itself counts of a job, its record among it', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'qwen-ledger-'));
      const [kept, next] = [newJob(), newJob()];
      const room = { directory, ttlMs, maxBytes: Infinity };
      const files = new FileJobStore(room);
      ledger = new JobLedger(files, room);
      await ledger.open();
      await ledger.add(kept, []);
      ledger.track(kept, new Promise(() => {}));
      await complete(kept);
      // Enough for the next one's files, and for half of its record.
      const recordBytes = files.neededBytes(next.toRecord(), [], 0);
      room.maxBytes = files.usedBytes() + largestResult(next) + Math.floor(recordBytes / 2);
      await ledger.add(next, []);
      expect(readdirSync(directory)).toContain(next.id);
      expect(readdirSync(directory)).not.toContain(kept.id);
      await files.close();
      rmSync(directory, { recursive: true });
    });

    it('for several that come at once', async () => {
      ledger = newLedger(4 * picture + reserved);
      for (let i = 0; i < 4; i++) await addCompleted(picture);
      store.before = () => settled();
      const files = [{ field: 'image', bytes: Buffer.alloc(picture) }];
      const jobs = [1, 2, 3].map(() => newJob({ inputs: ['image'] }));
      await Promise.all(jobs.map((job) => ledger.add(job, files)));
      expect(jobs.every(({ id }) => disk.has(id))).toBe(true);
      expect(store.usedBytes()).toBeLessThanOrEqual(4 * picture + reserved);
    });

    it('and does not empty the shelf when files cannot be removed', async () => {
      ledger = newLedger(3 * picture + reserved);
      for (let i = 0; i < 3; i++) await addCompleted(picture);
      store.before = (call) => (call === 'remove' ? Promise.reject(new Error('EIO')) : undefined);
      const files = [{ field: 'image', bytes: Buffer.alloc(2 * picture) }];
      await expect(ledger.add(newJob({ inputs: ['image'] }), files)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
      const records = await Promise.all([...disk.keys()].map((id) => ledger.record(id)));
      expect(records.filter((record) => record !== null).length).toBeGreaterThan(0);
    });

    it('as far as it can, when results took more than was kept for them', async () => {
      ledger = newLedger(3 * reserved);
      await pass(sweepMs / 2);
      const first = await addCompleted(2 * reserved);
      const second = await addCompleted(2 * reserved);
      expect(disk.size).toBe(2);
      await pass(sweepMs / 2);
      expect([disk.has(first.id), disk.has(second.id)]).toEqual([false, true]);
    });
  });

  describe('opens the folder of an earlier server', () => {
    it('and gives what is unfinished, the oldest first', async () => {
      const jobs: Job[] = [];
      for (let i = 0; i < 3; i++) {
        jest.setSystemTime(1_800_000_000_000 - i * 1000);
        jobs.push(await addJob({ async: true }));
      }
      jobs[0]?.moveTo('running');
      await ledger.noteRun(jobs[0]!);
      const done = await addCompleted('picture');
      const again = await newLedger().open();
      expect(again.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id).reverse());
      expect(again.map(({ state, attempt }) => [state, attempt])).toEqual([
        ['queued', 0],
        ['queued', 0],
        ['queued', 1],
      ]);
      expect(again.map(({ id }) => id)).not.toContain(done.id);
    });

    it('and finds what has ended, for the rest of its time', async () => {
      const job = await addCompleted('picture', keyed);
      await pass(ttlMs / 2);
      ledger = newLedger();
      await ledger.open();
      expect(await ledger.record(job.id)).toMatchObject({ state: 'completed' });
      expect(ledger.keys.has(null, 'a key')).toBe(true);
      await pass(ttlMs / 2);
      expect(await ledger.record(job.id)).toBeNull();
      expect(ledger.keys.has(null, 'a key')).toBe(false);
    });

    it('and keeps nothing for longer than its time because the clock went back, however often servers begin', async () => {
      const job = await addCompleted('picture');
      jest.setSystemTime(Date.now() - 1e9);
      ledger = newLedger();
      await ledger.open();
      expect(await ledger.record(job.id)).not.toBeNull();
      for (let i = 0; i < 2; i++) {
        await pass(ttlMs / 2 - 1);
        ledger = newLedger();
        await ledger.open();
        expect(await ledger.record(job.id)).not.toBeNull();
      }
      await pass(2);
      expect(await ledger.record(job.id)).toBeNull();
    });

    it('and brings times that lie ahead of the clock to the present, in their order', async () => {
      const times = ({ createdAt, startedAt, finishedAt }: JobRecord) => [createdAt, startedAt, finishedAt];
      const failed = await addJob();
      await pass(10);
      failed.moveTo('failed');
      await ledger.settle(failed, null);
      const before = store.recordOf(failed.id);
      const job = await addCompleted('picture');
      const now = before.finishedAt! - 5;
      jest.setSystemTime(now);
      ledger = newLedger();
      await ledger.open();
      expect(times(store.recordOf(failed.id))).toEqual([before.createdAt, null, now]);
      expect(times(store.recordOf(job.id))).toEqual([now, now, now]);
      expect((await ledger.image((await ledger.record(job.id))!, 0))?.bytes.toString()).toBe('picture');
    });

    it('and finds a job whose times cannot be stored anew all the same', async () => {
      const job = await addCompleted('picture');
      jest.setSystemTime(Date.now() - 1e9);
      ledger = newLedger();
      store.before = () => Promise.reject(new Error('ENOSPC'));
      await ledger.open();
      store.before = () => {};
      expect(await ledger.record(job.id)).toMatchObject({ state: 'completed' });
    });

    it('and has forgotten by its stamp what ended long ago, as a clock says that was set forward', async () => {
      const job = await addCompleted('picture');
      jest.setSystemTime(Date.now() + ttlMs);
      ledger = newLedger();
      await ledger.open();
      expect([disk.has(job.id), await ledger.record(job.id)]).toEqual([false, null]);
    });

    it('and forgets what ended first when there is too much', async () => {
      const slow = await addJob();
      const quick = await addCompleted(reserved);
      await pass(10);
      await complete(slow, jobResult('x'.repeat(reserved)));
      await newLedger(1.5 * reserved).open();
      expect([disk.has(quick.id), disk.has(slow.id)]).toEqual([false, true]);
    });

    it('with keys of what waits, and of what has completed, not of what has failed', async () => {
      const failed = await addJob({ idempotency: { key: 'failed', fingerprint: '' } });
      failed.moveTo('failed');
      await ledger.settle(failed, null);
      const waiting = await addJob(keyed);
      ledger = newLedger();
      for (const job of await ledger.open()) ledger.track(job, new Promise(() => {}));
      const join = (key: string) =>
        ledger.keys.join(null, { key, fingerprint: key === 'failed' ? '' : 'f' }, () => Promise.resolve('new'));
      expect(await join('a key')).toBe(waiting.id);
      expect(await join('failed')).toBe('new');
    });

    it('and tells events with higher ids, also after a server that was killed before it did anything', async () => {
      const job = await addJob({ async: true });
      let last = job.events.queued({ position: 1, eta_ms: null }).id;
      for (let i = 0; i < 3; i++) {
        const [again] = await newLedger().open();
        const { id } = again!.events.queued({ position: 1, eta_ms: null });
        expect(id).toBeGreaterThan(last);
        last = id;
      }
    });

    it('and shows no preview again', async () => {
      const job = await addJob({ async: true });
      await ledger.addPreview(job, { image: 0, index: 0 });
      const [again] = await newLedger().open();
      expect(again?.events.hasPreview(0, 0)).toBe(true);
    });
  });
});
