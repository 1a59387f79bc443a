import { HostLostError } from '@app/engine';
import { InferenceBench, isAsync, keyed } from '../../../test/fixtures/inference-bench.js';
import { jobResult, settled } from '../../../test/fixtures/scripted-runner.js';
import { TestInference } from '../../../test/fixtures/test-inference.js';
import { InferenceService } from './inference.service.js';
import type { Outcome } from './job-view.js';

describe(InferenceService.name, () => {
  let bench: InferenceBench;

  beforeEach(async () => void (bench = await InferenceBench.open()));

  describe('when the server stops', () => {
    it('ends plain jobs that wait, lets the running one finish, leaves the others', async () => {
      const running = await bench.submitRunning();
      const plain = await bench.submit();
      const kept = await bench.submit(isAsync);
      const outcomes = [running, plain].map((job) => bench.answered(job));
      const drained = bench.server.end(60_000);
      await settled();
      bench.server.runner.latest.finish(jobResult('mine'));
      const [first, second] = await Promise.all(outcomes);
      expect([(first as Outcome).id, second]).toEqual([running.id, 'INTERRUPTED']);
      await drained;
      expect(bench.server.store.recordOf(kept.id).state).toBe('queued');
      const { accepted, ended } = bench.server.service.tally();
      expect([accepted, ended, bench.server.service.depth().pending]).toEqual([3, { completed: 1, failed: 1, cancelled: 0 }, 1]);
      await bench.restart();
      expect(await bench.stateOf(kept.id)).toBe('running');
      expect(bench.server.service.tally().accepted).toBe(1);
    });

    it('tells those that wait for a durable job that it was interrupted, and the next server runs it', async () => {
      const job = await bench.submitRunning(keyed);
      const outcome = bench.answered(job);
      await bench.server.end();
      expect(await outcome).toBe('INTERRUPTED');
      await bench.restart();
      const again = await bench.submit(keyed);
      expect(again.id).toBe(job.id);
      expect(bench.server.runner.latest.job).toMatchObject({ id: job.id, attempt: 1 });
      bench.server.runner.latest.finish(jobResult('mine'));
      expect(((await bench.answered(again)) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
    });

    it('cancels nothing that it has left to the next one, which does', async () => {
      const { id } = await bench.submit(isAsync);
      await bench.server.service.drain(0);
      await expect(bench.server.service.cancel(id)).rejects.toMatchObject({ code: 'INTERRUPTED', retryAfterS: 10 });
      await bench.restart();
      expect(await bench.server.service.cancel(id)).toMatchObject({ record: { state: 'cancelled' } });
    });

    it('takes back a run that it stopped, as often as that may be', async () => {
      const { id } = await bench.submitRunning(isAsync);
      for (let i = 0; i < 5; i++) {
        await bench.server.end();
        expect(bench.server.store.recordOf(id)).toMatchObject({ state: 'queued', attempt: 0 });
        await bench.restart();
      }
      expect(bench.server.runner.latest.job).toMatchObject({ id, attempt: 1 });
    });

    it('accepts what was being stored, for the next one', async () => {
      let write = () => {};
      bench.server.store.before = () => new Promise((resolve) => (write = resolve));
      const submitted = bench.submit(isAsync);
      await settled();
      const drained = bench.server.end();
      await settled();
      bench.server.store.before = () => {};
      write();
      const { id } = await submitted;
      await drained;
      await bench.restart();
      expect(await bench.stateOf(id)).toBe('running');
    });
  });

  describe('when the server is killed', () => {
    it('runs durable jobs, ends plain ones', async () => {
      const plain = await bench.submitRunning();
      const jobs = [await bench.submit(isAsync), await bench.submit(keyed)];
      await bench.kill();
      expect(await bench.server.service.view(plain.id)).toMatchObject({
        record: { state: 'failed', error: { code: 'INTERRUPTED', message: 'the server was restarted' } },
      });
      expect(bench.server.service.tally()).toEqual({ accepted: 3, ended: { completed: 0, failed: 1, cancelled: 0 } });
      expect(await bench.stateOf(jobs[0]!.id)).toBe('running');
      bench.server.runner.latest.finish();
      await settled();
      expect(await bench.stateOf(jobs[1]!.id)).toBe('running');
    });

    it('gives a job up that was running when it was, twice', async () => {
      const { id } = await bench.submitRunning(isAsync);
      await bench.kill();
      expect(bench.server.runner.latest.job).toMatchObject({ id, attempt: 2 });
      const other = await bench.submit(isAsync);
      await bench.kill();
      expect(await bench.server.service.view(id)).toMatchObject({
        record: { state: 'failed', error: { code: 'ENGINE_CRASHED' } },
      });
      expect(bench.server.runner.latest.job).toMatchObject({ id: other.id, attempt: 1 });
    });

    it('counts a host that was lost before', async () => {
      const { id } = await bench.submitRunning(isAsync);
      const again = bench.server.runner.next();
      bench.server.runner.latest.fail(new HostLostError('gone'));
      await again;
      await bench.kill();
      expect(await bench.server.service.view(id)).toMatchObject({
        record: { state: 'failed', error: { code: 'ENGINE_CRASHED' } },
      });
    });

    it('runs a job that only waited as often as it must', async () => {
      const blocked = bench.server.runner;
      blocked.ready = new Promise(() => {});
      const { id } = await bench.submit(isAsync);
      for (let i = 0; i < 3; i++) {
        bench.server.store.kill();
        const next = new TestInference(bench.disk);
        next.runner.ready = new Promise(() => {});
        bench.server = await next.open();
      }
      await bench.kill();
      expect(bench.server.runner.latest.job).toMatchObject({ id, attempt: 1 });
    });

    it('does not run what was told to have ended', async () => {
      const job = await bench.submitRunning(keyed);
      bench.server.runner.latest.finish(jobResult('mine'));
      await bench.answered(job);
      await bench.kill();
      expect(bench.server.runner.runs).toHaveLength(0);
      expect(((await bench.answered(await bench.submit(keyed))) as Outcome).result.images[0]?.bytes.toString()).toBe('mine');
      expect(await bench.imageText(job.id, 0)).toBe('mine');
    });

    it('tells nobody of an end that it had not stored', async () => {
      const job = await bench.submitRunning(isAsync);
      bench.server.store.before = () => new Promise(() => {});
      bench.server.runner.latest.finish();
      await settled();
      let told: unknown = null;
      void bench.server.service.view(job.id).then((view) => (told = view));
      await settled();
      expect(told).toBeNull();
      await bench.kill();
      expect(await bench.stateOf(job.id)).toBe('running');
    });
  });
});
