import { newJob } from '../../../../test/fixtures/job-request.js';
import { durable, QueueBench } from '../../../../test/fixtures/queue-bench.js';
import { jobResult, settled } from '../../../../test/fixtures/scripted-runner.js';
import { MemoryJobQueue } from './memory.job-queue.js';

const result = jobResult();

describe(`${MemoryJobQueue.name} drains`, () => {
  let bench: QueueBench;

  beforeEach(() => void (bench = new QueueBench()));

  it('interrupts what waits, lets the running job finish, takes nothing new', async () => {
    const running = await bench.addRunning();
    const waiting = bench.addWaiting();
    const drained = bench.queue.drain(60_000);
    await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(bench.refusalOf(newJob())).toMatchObject({ code: 'INTERRUPTED' });
    running.run.finish(result);
    await expect(running.ended).resolves.toBe(result);
    await drained;
  });

  it('interrupts the running job when the grace is over', async () => {
    const running = await bench.addRunning();
    await bench.queue.drain(1);
    await expect(running.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(running.run.job.state).toBe('failed');
  });

  it('leaves durable jobs queued, and takes back the run that it stopped', async () => {
    const running = await bench.addRunning(durable);
    const waiting = bench.addWaiting(durable);
    const kept: unknown[] = [];
    bench.runner.settle = (job) => {
      kept.push([job.id, job.state, job.attempt]);
      return Promise.resolve();
    };
    await bench.queue.drain(1);
    await expect(running.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(kept).toEqual([
      [waiting.job.id, 'queued', 0],
      [running.run.job.id, 'queued', 0],
    ]);
    expect([running.run.job, waiting.job].map((job) => bench.queue.placeOf(job))).toEqual([
      { position: 1, etaMs: null },
      { position: 2, etaMs: null },
    ]);
    expect(bench.queue.depth()).toMatchObject({ pending: 2, running: 0 });
    bench.expectBalance();
  });

  it('waits until every end is stored, also of jobs that come in meanwhile', async () => {
    const late = newJob();
    const place = bench.queue.reserve(late);
    const stores: (() => void)[] = [];
    bench.runner.settle = () => new Promise((resolve) => stores.push(resolve));
    const waiting = bench.addWaiting();
    let isDrained = false;
    const drained = bench.queue.drain(60_000).then(() => (isDrained = true));
    place.enter().catch(() => {});
    await settled();
    expect(late).toMatchObject({ state: 'failed', error: { code: 'INTERRUPTED' } });
    stores[0]?.();
    await expect(waiting.ended).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await settled();
    expect(isDrained).toBe(false);
    stores[1]?.();
    await drained;
    bench.expectBalance();
  });

  it('does not wait for an engine that is away', async () => {
    bench.runner.ready = new Promise(() => {});
    bench.addWaiting();
    await bench.queue.drain(60_000);
    expect(bench.queue.depth()).toMatchObject({ pending: 0, running: 0 });
  });
});
