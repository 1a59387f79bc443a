import { HostLostError } from '@app/engine';
import { of, QueueBench } from '../../../../test/fixtures/queue-bench.js';
import { settled } from '../../../../test/fixtures/scripted-runner.js';
import type { Job } from '../job.js';
import { JobEvents } from '../job-events.js';
import { MemoryJobQueue } from './memory.job-queue.js';

describe(MemoryJobQueue.name, () => {
  let bench: QueueBench;

  beforeEach(() => void (bench = new QueueBench()));

  describe('tells readers of a waiting job', () => {
    function told(job: Job): unknown[] {
      return job.events
        .since(0)
        .filter(({ name }) => name === 'queued')
        .map(({ data }) => data);
    }

    it('where it stands and how long that may take, whenever its place changes', async () => {
      bench.renew(10);
      bench.learn(60_000);
      const running = await bench.addRunning(of('a'));
      const before = bench.addWaiting(of('a'));
      const { job } = bench.addWaiting(of('a'));
      const seen: unknown[] = [];
      job.events.onChange(() => seen.push(job.events.toldPosition));
      bench.queue.follow(job);
      expect(told(job)).toMatchObject([{ position: 2 }]);
      const other = bench.addWaiting(of('b'));
      expect(seen).toEqual([3]);
      bench.queue.cancel(other.job.id);
      expect(seen).toEqual([3, 2]);
      bench.queue.cancel(before.job.id);
      expect(seen).toEqual([3, 2, 1]);
      const [{ eta_ms }] = told(job) as [{ eta_ms: number }];
      expect(eta_ms).toBeGreaterThan(60_000);
      expect(eta_ms).toBeLessThanOrEqual(120_000);
      const next = bench.runner.next();
      running.run.finish();
      await next;
      expect(job.events.since(0).at(-1)).toMatchObject({ name: 'started', data: { attempt: 1 } });
      expect(job.events.toldPosition).toBeNull();
    });

    it('that it waits again after its host was lost', async () => {
      const { run } = await bench.addRunning();
      bench.runner.ready = new Promise(() => {});
      run.job.events.onChange(() => {});
      bench.queue.follow(run.job);
      run.fail(new HostLostError('gone'));
      await settled();
      expect(run.job.events.since(0).at(-1)).toMatchObject({ name: 'queued', data: { position: 1 } });
    });

    it('nothing that it has been told', () => {
      bench.runner.ready = new Promise(() => {});
      const { job } = bench.addWaiting();
      bench.queue.follow(job);
      bench.queue.follow(job);
      expect(told(job)).toHaveLength(1);
    });

    it('that has readers, without looking at those that have none', () => {
      bench.renew(1000);
      bench.runner.ready = new Promise(() => {});
      const { job } = bench.addWaiting();
      const leave = job.events.onChange(() => {});
      bench.queue.follow(job);
      for (let i = 0; i < 500; i++) bench.addWaiting();
      const looks = jest.spyOn(JobEvents.prototype, 'readers', 'get');
      bench.addWaiting();
      expect(looks).toHaveBeenCalledTimes(1);
      leave();
      bench.addWaiting();
      bench.addWaiting();
      expect(looks).toHaveBeenCalledTimes(2);
      looks.mockRestore();
    });
  });

  describe('says where a job stands', () => {
    it('until its likely end', async () => {
      bench.learn(1000);
      const { run } = await bench.addRunning();
      const { job } = bench.addWaiting();
      const running = bench.queue.placeOf(run.job);
      expect(running.position).toBeNull();
      expect(running.etaMs).toBeLessThanOrEqual(1000);
      const waiting = bench.queue.placeOf(job);
      expect(waiting.position).toBe(1);
      expect(waiting.etaMs).toBeGreaterThanOrEqual(1000);
      expect(waiting.etaMs).toBeLessThanOrEqual(2000);
    });

    it('without a guess, when nothing is known', () => {
      bench.runner.ready = new Promise(() => {});
      expect(bench.queue.placeOf(bench.addWaiting().job)).toEqual({ position: 1, etaMs: null });
    });

    it('nowhere, when it has ended', async () => {
      const { run, ended } = await bench.addRunning();
      run.finish();
      await ended;
      expect(bench.queue.placeOf(run.job)).toEqual({ position: null, etaMs: null });
    });
  });
});
