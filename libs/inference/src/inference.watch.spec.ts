import { InferenceBench, isAsync } from '../../../test/fixtures/inference-bench.js';
import { settled } from '../../../test/fixtures/scripted-runner.js';
import { InferenceService } from './inference.service.js';
import type { JobWatch } from './job-view.js';
import type { JobEvent } from './job.types.js';

describe(`${InferenceService.name} lets a job be watched`, () => {
  let bench: InferenceBench;

  beforeEach(async () => void (bench = await InferenceBench.open()));

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
    const job = await bench.submit(isAsync);
    const watch = bench.server.service.watch(job.id);
    const { events, turn } = collect(watch);
    let isLast = false;
    const forget = watch.onChange(() => void turn().then((last) => (isLast ||= last)));
    await turn();
    await settled();
    bench.server.runner.latest.job.events.progress({ step: 1 });
    await settled();
    bench.server.runner.latest.finish();
    await settled();
    forget();
    expect(events.map(({ name }) => name)).toEqual(['queued', 'started', 'progress', 'completed']);
    expect(isLast).toBe(true);
  });

  it('and tells its end to nobody before it is stored', async () => {
    const job = await bench.submitRunning(isAsync);
    let write = () => {};
    bench.server.store.before = () => new Promise((resolve) => (write = resolve));
    const watch = bench.server.service.watch(job.id);
    bench.server.runner.latest.finish();
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
    const job = await bench.submitRunning(isAsync);
    bench.server.runner.latest.finish();
    await settled();
    const watch = bench.server.service.watch(job.id);
    expect(watch.isOver).toBe(true);
    const events = await watch.since(0);
    expect(events.map(({ name }) => name)).toEqual(['queued', 'started', 'completed']);
    expect(await watch.since(events.at(-1)?.id ?? 0)).toEqual([]);
  });

  it('until the server stops', async () => {
    const job = await bench.submitRunning(isAsync);
    const watch = bench.server.service.watch(job.id);
    const change = jest.fn();
    watch.onChange(change);
    await bench.server.service.drain(0);
    expect(change).toHaveBeenCalled();
    expect(watch.isOver).toBe(true);
    expect((await watch.since(0)).map(({ name }) => name)).toEqual(['queued', 'started']);
  });

  it('over a restart, with rising ids', async () => {
    const job = await bench.submitRunning(isAsync);
    const before = await bench.server.service.watch(job.id).since(0);
    await bench.server.end();
    await bench.restart();
    const { events, turn } = collect(bench.server.service.watch(job.id));
    await turn();
    bench.server.runner.latest.finish();
    await settled();
    await turn();
    const ids = [...before, ...events.filter(({ id }) => id > (before.at(-1)?.id ?? 0))].map(({ id }) => id);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(events.filter(({ name }) => name === 'completed')).toHaveLength(1);
  });
});
