import { HostLostError } from '@app/engine';
import { newJob } from '../../../../test/fixtures/job-request.js';
import { durable, of, QueueBench } from '../../../../test/fixtures/queue-bench.js';
import { settled } from '../../../../test/fixtures/scripted-runner.js';
import { ServiceError } from '../service.error.js';
import { MemoryJobQueue } from './memory.job-queue.js';

describe(`${MemoryJobQueue.name} has room`, () => {
  let bench: QueueBench;

  beforeEach(() => void (bench = new QueueBench()));

  it('for so many jobs, and says when to come again', async () => {
    await bench.addRunning();
    bench.addWaiting();
    bench.addWaiting();
    expect(bench.refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL', retryAfterS: 1 });
  });

  it('for one more while nothing runs yet', () => {
    bench.runner.ready = new Promise(() => {});
    for (let i = 0; i < 3; i++) bench.addWaiting();
    expect(bench.refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
  });

  it('for none but the one that runs when nothing may wait', async () => {
    bench.renew(0);
    const { run, ended } = await bench.addRunning();
    const message = 'the engine is busy, and no request may wait';
    expect(bench.refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL', message });
    run.finish();
    await ended;
    await bench.addRunning();
  });

  it('counting jobs that are still being stored', async () => {
    const place = bench.queue.reserve(newJob());
    bench.queue.reserve(newJob());
    bench.queue.reserve(newJob());
    expect(bench.refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
    place.leave();
    await bench.addRunning();
    expect(bench.refusalOf(newJob())).toMatchObject({ code: 'QUEUE_FULL' });
    expect(bench.queue.tally().accepted).toBe(1);
  });

  it('for so many jobs of one client, while others still come in', async () => {
    bench.renew(10, 2);
    await bench.addRunning(of('other'));
    bench.addWaiting(of('many'));
    bench.queue.reserve(newJob({}, of('many')));
    expect(bench.refusalOf(newJob({}, of('many')))).toMatchObject({ code: 'QUEUE_FULL' });
    bench.addWaiting(of('one'));
  });

  it.each([
    [0, 'the engine is busy, and no request of this client may wait'],
    [1, '1 request of this client is waiting already, at most 1 may'],
    [2, '2 requests of this client are waiting already, at most 2 may'],
  ])('for %i of one client, and says so', async (most, message) => {
    bench.renew(10, most);
    await bench.addRunning(of('other'));
    for (let i = 0; i < most; i++) bench.addWaiting(of('many'));
    expect(bench.refusalOf(newJob({}, of('many')))).toMatchObject({ code: 'QUEUE_FULL', message });
  });

  it('for no more of a client whose job is to be run again', async () => {
    bench.renew(10, 1);
    const { run } = await bench.addRunning(of('many'));
    bench.runner.ready = new Promise(() => {});
    run.fail(new HostLostError('gone'));
    await settled();
    bench.addWaiting(of('many'));
    expect(bench.refusalOf(newJob({}, of('many')))).toMatchObject({ code: 'QUEUE_FULL' });
  });

  it('as soon as a running job has ended, by the times that were measured', async () => {
    bench.learn(30_000);
    await bench.addRunning();
    bench.addWaiting();
    bench.addWaiting();
    const refusal = bench.refusalOf(newJob());
    expect(refusal).toBeInstanceOf(ServiceError);
    expect((refusal as ServiceError).retryAfterS).toBeGreaterThan(20);
    expect((refusal as ServiceError).retryAfterS).toBeLessThanOrEqual(30);
  });

  it('for all that an earlier server had accepted', () => {
    bench.runner.ready = new Promise(() => {});
    for (let i = 0; i < 5; i++) bench.restore(durable, 0);
    expect(bench.queue.depth().pending).toBe(5);
    bench.expectBalance();
  });
});
