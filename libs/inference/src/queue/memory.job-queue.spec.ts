import { HostLostError } from '@app/engine';
import { newJob } from '../../../../test/fixtures/job-request.js';
import { of, QueueBench } from '../../../../test/fixtures/queue-bench.js';
import { jobResult, settled } from '../../../../test/fixtures/scripted-runner.js';
import { MemoryJobQueue } from './memory.job-queue.js';

const result = jobResult();

describe(MemoryJobQueue.name, () => {
  let bench: QueueBench;

  beforeEach(() => void (bench = new QueueBench()));

  it('runs jobs one at a time, in the order they came', async () => {
    const first = await bench.addRunning();
    const second = bench.addWaiting();
    const third = bench.addWaiting();
    expect(bench.queue.depth()).toEqual({ pending: 2, running: 1, max: 2 });

    let next = bench.runner.next();
    first.run.finish(result);
    await expect(first.ended).resolves.toBe(result);
    expect((await next).job).toBe(second.job);
    next = bench.runner.next();
    bench.runner.latest.finish();
    expect((await next).job).toBe(third.job);
    bench.runner.latest.finish();
    await third.ended;
    expect([first.run.job.state, second.job.state, third.job.state]).toEqual(['completed', 'completed', 'completed']);
  });

  it('keeps what a completed job has to tell, without its files', async () => {
    const { run, ended } = await bench.addRunning();
    run.finish(result);
    await ended;
    expect(run.job.outcome).toEqual({ ...result, images: [{ seed: 1, width: 16, height: 16, format: 'png', bytes: 9 }] });
  });

  it('runs the one request of a client before most of the many that another sent before', async () => {
    bench.renew(10);
    const { run } = await bench.addRunning(of('many'));
    for (let i = 0; i < 5; i++) bench.addWaiting(of('many'));
    const one = bench.addWaiting(of('one'));
    expect(bench.queue.placeOf(one.job).position).toBe(1);
    const next = bench.runner.next();
    run.finish();
    expect((await next).job).toBe(one.job);
  });

  it('cancels a waiting job and leaves the others alone', async () => {
    const running = await bench.addRunning();
    const doomed = bench.addWaiting();
    const next = bench.addWaiting();
    expect(bench.queue.cancel(doomed.job.id)).toBe(true);
    await expect(doomed.ended).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(doomed.job).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } });
    expect(running.run.signal.aborted).toBe(false);

    const begun = bench.runner.next();
    running.run.finish();
    expect((await begun).job).toBe(next.job);
  });

  it('stops the running job through its signal and goes on', async () => {
    const running = await bench.addRunning();
    const next = bench.addWaiting();
    const begun = bench.runner.next();
    expect(bench.queue.cancel(running.run.job.id)).toBe(true);
    await expect(running.ended).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(running.run.job.state).toBe('cancelled');
    expect((await begun).job).toBe(next.job);
    expect((await begun).signal.aborted).toBe(false);
  });

  it('loses nothing when a job is cancelled just as it ends', async () => {
    const { run, ended } = await bench.addRunning();
    run.finish(result);
    expect(bench.queue.cancel(run.job.id)).toBe(true);
    await expect(ended).resolves.toBe(result);
    expect(run.job.state).toBe('completed');
    bench.expectBalance();
  });

  it('knows nothing of a job that has ended', async () => {
    const { run, ended } = await bench.addRunning();
    run.finish();
    await ended;
    expect(bench.queue.cancel(run.job.id)).toBe(false);
    expect(bench.queue.cancel('never came')).toBe(false);
  });

  it('hands on what the runner threw and goes on with the next', async () => {
    const first = await bench.addRunning();
    bench.addWaiting();
    const begun = bench.runner.next();
    const error = new Error('no such luck');
    first.run.fail(error);
    await expect(first.ended).rejects.toBe(error);
    expect(first.run.job).toMatchObject({ state: 'failed', error: { code: 'INTERNAL' } });
    expect((await begun).job.state).toBe('running');
  });

  describe('an end', () => {
    it('is told when it is stored, and the next job does not wait for that', async () => {
      const first = await bench.addRunning();
      const second = bench.addWaiting();
      let store = () => {};
      bench.runner.settle = () => new Promise((resolve) => (store = resolve));
      let isTold = false;
      void first.ended.then(() => (isTold = true));
      const begun = bench.runner.next();
      first.run.finish();
      expect((await begun).job).toBe(second.job);
      await settled();
      expect([first.run.job.state, isTold]).toEqual(['completed', false]);
      store();
      await first.ended;
    });

    it('wakes readers once it is stored', async () => {
      const { run, ended } = await bench.addRunning();
      let store = () => {};
      bench.runner.settle = () => new Promise((resolve) => (store = resolve));
      const change = jest.fn();
      run.job.events.onChange(change);
      run.finish();
      await settled();
      expect(change).not.toHaveBeenCalled();
      store();
      await ended;
      await settled();
      expect(change).toHaveBeenCalledTimes(1);
    });
  });

  it('counts every job once, at any moment', async () => {
    const adds = () => {
      bench.expectBalance();
      const { accepted, ended } = bench.queue.tally();
      return { accepted, ...ended };
    };
    const first = await bench.addRunning();
    const second = bench.addWaiting();
    const third = bench.addWaiting();
    bench.refusalOf(newJob());
    expect(adds()).toEqual({ accepted: 3, completed: 0, failed: 0, cancelled: 0 });

    bench.queue.cancel(second.job.id);
    expect(adds()).toMatchObject({ cancelled: 1 });
    const again = bench.runner.next();
    first.run.fail(new HostLostError('gone'));
    await settled();
    adds();
    await again;
    const begun = bench.runner.next();
    bench.runner.latest.finish();
    await first.ended;
    expect(adds()).toMatchObject({ completed: 1 });
    await begun;
    bench.runner.latest.fail(new Error('no such luck'));
    await expect(third.ended).rejects.toThrow();
    expect(adds()).toEqual({ accepted: 3, completed: 1, failed: 1, cancelled: 1 });
  });

  it('learns from each job that completes how long such take', async () => {
    const clock = jest.spyOn(performance, 'now').mockReturnValue(0);
    const measured = await bench.addRunning();
    clock.mockReturnValue(30_000);
    measured.run.finish();
    await measured.ended;
    clock.mockRestore();
    expect(bench.estimate.runMs(newJob().request)).toBe(30_000);
  });
});
