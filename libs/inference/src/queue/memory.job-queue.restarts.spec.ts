import { HostLostError } from '@app/engine';
import { durable, of, QueueBench } from '../../../../test/fixtures/queue-bench.js';
import { jobResult, settled } from '../../../../test/fixtures/scripted-runner.js';
import { ServiceError } from '../service.error.js';
import { MemoryJobQueue } from './memory.job-queue.js';

const result = jobResult();

describe(MemoryJobQueue.name, () => {
  let bench: QueueBench;

  beforeEach(() => void (bench = new QueueBench()));

  describe('while the engine is away', () => {
    const gone = new ServiceError('ENGINE_UNAVAILABLE', 'gone for good');

    it('keeps jobs waiting', async () => {
      let comeBack = () => {};
      const first = await bench.addRunning();
      const second = bench.addWaiting();
      bench.runner.ready = new Promise((resolve) => (comeBack = resolve));
      first.run.fail(new Error('the host died'));
      await expect(first.ended).rejects.toThrow('the host died');
      expect(bench.queue.depth()).toMatchObject({ pending: 1, running: 0 });
      expect(second.job.state).toBe('queued');

      const begun = bench.runner.next();
      comeBack();
      expect((await begun).job).toBe(second.job);
    });

    it('fails those that somebody waits for, when it is not to come back soon', async () => {
      bench.runner.ready = Promise.reject(gone);
      const jobs = [bench.addWaiting(), bench.addWaiting()];
      for (const { ended, job } of jobs) {
        await expect(ended).rejects.toBe(gone);
        expect(job.state).toBe('failed');
      }
    });

    it('keeps the others, each in its place, however long it takes', async () => {
      let comeBack = () => {};
      bench.renew(10);
      const replayed = await bench.addRunning(of('a', durable));
      bench.runner.ready = Promise.reject(gone);
      bench.runner.readyAtLast = new Promise((resolve) => (comeBack = resolve));
      const plain = bench.addWaiting(of('a'));
      const waiting = [
        bench.addWaiting(of('a', durable)),
        bench.addWaiting(of('b', durable)),
        bench.addWaiting(of('a', durable)),
      ];
      replayed.run.fail(new HostLostError('gone'));
      await expect(plain.ended).rejects.toBe(gone);
      await settled();
      const [first, second, third] = waiting.map(({ job }) => job);
      expect(bench.queue.placeOf(replayed.run.job).position).toBe(1);
      expect([first, second, third].map((job) => bench.queue.placeOf(job!).position)).toEqual([3, 2, 4]);
      bench.runner.ready = Promise.resolve();
      comeBack();
      for (const job of [replayed.run.job, second, first, third]) {
        await settled();
        expect(bench.runner.latest.job).toBe(job);
        bench.runner.latest.finish();
      }
    });
  });

  describe('when the host ends under a job', () => {
    const lost = new HostLostError('the engine host ended (signal SIGSEGV)');

    it('runs it once more, before the others, as soon as the engine is back', async () => {
      let comeBack = () => {};
      const first = await bench.addRunning();
      const second = bench.addWaiting();
      bench.runner.ready = new Promise((resolve) => (comeBack = resolve));
      first.run.fail(lost);
      await settled();
      expect(first.run.job).toMatchObject({ state: 'queued', attempt: 1 });
      expect(bench.queue.depth()).toMatchObject({ pending: 2, running: 0 });
      expect([first.run.job, second.job].map((job) => bench.queue.placeOf(job).position)).toEqual([1, 2]);

      const again = bench.runner.next();
      comeBack();
      expect((await again).job).toBe(first.run.job);
      expect(first.run.job).toMatchObject({ state: 'running', attempt: 2 });
      const begun = bench.runner.next();
      bench.runner.latest.finish(result);
      await expect(first.ended).resolves.toBe(result);
      expect((await begun).job).toBe(second.job);
      expect(second.job.attempt).toBe(1);
    });

    it('fails it when that happens again, and goes on with the others', async () => {
      const first = await bench.addRunning();
      const second = bench.addWaiting();
      const again = bench.runner.next();
      first.run.fail(lost);
      const begun = bench.runner.next();
      (await again).fail(lost);
      await expect(first.ended).rejects.toMatchObject({ name: 'ServiceError', code: 'ENGINE_CRASHED', cause: lost });
      expect(first.run.job.state).toBe('failed');
      expect((await begun).job).toBe(second.job);
      expect(bench.runner.runs.filter(({ job }) => job === first.run.job)).toHaveLength(2);
    });

    it('does not run a cancelled job again', async () => {
      const first = await bench.addRunning();
      const second = bench.addWaiting();
      const begun = bench.runner.next();
      bench.queue.cancel(first.run.job.id);
      first.run.fail(lost);
      await expect(first.ended).rejects.toMatchObject({ code: 'CANCELLED' });
      expect((await begun).job).toBe(second.job);
    });

    it('cancels it while it waits for the next host', async () => {
      const first = await bench.addRunning();
      bench.runner.ready = new Promise(() => {});
      first.run.fail(lost);
      await settled();
      expect(bench.queue.cancel(first.run.job.id)).toBe(true);
      await expect(first.ended).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(bench.queue.depth()).toMatchObject({ pending: 0, running: 0 });
    });

    it('fails it when there is no next host', async () => {
      const first = await bench.addRunning();
      bench.runner.ready = Promise.reject(new ServiceError('ENGINE_UNAVAILABLE', 'gone for good'));
      first.run.fail(lost);
      await expect(first.ended).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
      expect(first.run.job.state).toBe('failed');
    });

    it('interrupts it when the server stops, whichever came first', async () => {
      const first = await bench.addRunning();
      const drained = bench.queue.drain(60_000);
      first.run.fail(lost);
      await expect(first.ended).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
      await drained;

      bench.renew();
      const second = await bench.addRunning();
      bench.runner.ready = new Promise(() => {});
      second.run.fail(lost);
      await settled();
      await bench.queue.drain(60_000);
      await expect(second.ended).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
    });

    it('leaves a durable one to the next server, and that run counts', async () => {
      const { run, ended } = await bench.addRunning(durable);
      const drained = bench.queue.drain(60_000);
      run.fail(lost);
      await expect(ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      await drained;
      expect(run.job).toMatchObject({ state: 'queued', attempt: 1 });
      bench.expectBalance();
    });
  });

  describe('of an earlier server', () => {
    it('runs what is durable, in the order in which it is given', async () => {
      const next = bench.runner.next();
      const first = bench.restore(durable, 0);
      const second = bench.restore(durable, 1);
      expect((await next).job).toBe(first.job);
      const then = bench.runner.next();
      bench.runner.latest.finish();
      expect((await then).job).toBe(second.job);
      expect(second.job.attempt).toBe(2);
    });

    it('fails a job under which two servers or hosts have ended', async () => {
      const { job, ended } = bench.restore(durable, 2);
      await expect(ended).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
      expect(job.state).toBe('failed');
      expect(bench.queue.tally()).toMatchObject({ accepted: 1, ended: { failed: 1 } });
    });

    it('fails what nobody can come back for', async () => {
      const { ended } = bench.restore({}, 0);
      await expect(ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
      expect(bench.runner.runs).toHaveLength(0);
    });

    it('fails a durable job with a second host that ends under it', async () => {
      const next = bench.runner.next();
      const { ended } = bench.restore(durable, 1);
      (await next).fail(new HostLostError('gone'));
      await expect(ended).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
    });
  });
});
