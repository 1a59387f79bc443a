import { jobOrder, jobRequest, newJob } from '../../../test/fixtures/job-request.js';
import { Job, maxAttempts } from './job.js';
import type { JobRecord } from './job.types.js';

describe('Job', () => {
  it('is queued, runs and completes, and tells when', () => {
    const job = newJob();
    expect([job.state, job.startedAt, job.finishedAt]).toEqual(['queued', null, null]);
    job.moveTo('running');
    expect(job.startedAt).toBeGreaterThanOrEqual(job.createdAt);
    job.moveTo('completed');
    expect(job.finishedAt).toBeGreaterThanOrEqual(job.startedAt ?? Infinity);
  });

  it.each(['completed', 'failed', 'cancelled'] as const)('stays %s', (state) => {
    const job = newJob();
    job.moveTo('running');
    job.moveTo(state);
    expect(() => job.moveTo('running')).toThrow(`cannot go from ${state} to running`);
    expect(() => job.moveTo('failed')).toThrow();
    expect(job.events.since(0).map(({ name }) => name)).toEqual([state]);
  });

  it('runs once more when it has waited again', () => {
    const job = newJob();
    job.moveTo('running');
    job.progress = { stage: 'denoise', image: 0, step: 3, total: 4 };
    job.moveTo('queued');
    expect(job).toMatchObject({ attempt: 1, progress: null, finishedAt: null });
    job.moveTo('running');
    expect(job).toMatchObject({ attempt: 2, progress: null });
  });

  it('cannot complete without having run', () => {
    expect(() => newJob().moveTo('completed')).toThrow('cannot go from queued to completed');
  });

  it('may not run again after two runs, unless one is taken back', () => {
    const job = newJob();
    for (let i = 0; i < maxAttempts; i++) {
      expect(job.isPoison).toBe(false);
      job.moveTo('running');
      job.moveTo('queued');
    }
    expect(job.isPoison).toBe(true);
    job.takeBackAttempt();
    expect(job).toMatchObject({ isPoison: false, attempt: maxAttempts - 1, startedAt: null });
  });

  it('outlives the server when nobody waits for it on a connection, or somebody may come again', () => {
    expect(newJob().isDurable).toBe(false);
    expect(newJob({}, { async: true }).isDurable).toBe(true);
    expect(newJob({}, { idempotency: { key: 'k', fingerprint: 'f' } }).isDurable).toBe(true);
    const order = jobOrder();
    const job = new Job(jobRequest(), order);
    job.becomeAsync();
    expect([job.isDurable, job.order.async, order.async]).toEqual([true, true, false]);
  });

  it('measures its times by a clock that never jumps', () => {
    const clock = jest.spyOn(performance, 'now').mockReturnValue(1000);
    const date = jest.spyOn(Date, 'now').mockReturnValue(5_000_000);
    const job = newJob();
    clock.mockReturnValue(1300);
    expect([job.ageMs, job.queueMs, job.runMs]).toEqual([300, 300, 0]);
    job.moveTo('running');
    date.mockReturnValue(0);
    clock.mockReturnValue(1700);
    expect([job.ageMs, job.queueMs, job.runMs]).toEqual([700, 300, 400]);
    clock.mockRestore();
    date.mockRestore();
  });

  it.each([-86_400_000, 86_400_000])('never begins before it was made nor ends before it began: clock set by %i ms', (jumpMs) => {
    const clock = jest.spyOn(Date, 'now').mockReturnValue(5_000_000_000);
    const whole = (ms: number | null) => ms && Math.floor(ms);
    const stamps = ({ createdAt, startedAt, finishedAt }: Job) => [createdAt, startedAt, finishedAt].map(whole);
    const waiting = newJob();
    const running = newJob();
    running.moveTo('running');
    const run = newJob({}, { async: true });
    run.moveTo('running');
    clock.mockReturnValue(5_000_000_000 + jumpMs);
    const now = Math.max(5_000_000_000, 5_000_000_000 + jumpMs);
    running.moveTo('completed');
    expect(stamps(running)).toEqual([5_000_000_000, 5_000_000_000, now]);
    run.moveTo('queued');
    run.moveTo('running');
    run.moveTo('failed');
    expect(stamps(run)).toEqual([5_000_000_000, now, now]);
    const next = Job.restored(JSON.parse(JSON.stringify(waiting.toRecord())) as JobRecord, []);
    next.moveTo('running');
    expect(stamps(next)).toEqual([5_000_000_000, now, null]);
    waiting.moveTo('cancelled');
    expect(stamps(waiting)).toEqual([5_000_000_000, null, now]);
    clock.mockRestore();
  });

  it('has a later time of creation than the job before it, also within one millisecond', () => {
    const clock = jest.spyOn(Date, 'now').mockReturnValue(1_800_000_000_000);
    const times = Array.from({ length: 500 }, () => newJob().createdAt);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(times.map(Math.floor)).toEqual(times.map(() => 1_800_000_000_000));
    clock.mockReturnValue(1_800_000_000_001);
    expect(newJob().createdAt).toBe(1_800_000_000_001);
    clock.mockRestore();
  });

  it('waits again in the next server, as the same job, with the runs that it has had', () => {
    const job = newJob({}, { async: true, previews: 1 });
    job.events.queued({ position: 1, eta_ms: null });
    job.moveTo('running');
    job.events.started({ attempt: 1 });
    const preview = job.events.newPreview({ attempt: 1, image: 0, index: 0 });
    job.events.tellPreview(preview);
    const record = JSON.parse(JSON.stringify(job.toRecord())) as JobRecord;
    const again = Job.restored(record, [preview]);
    const { id, createdAt, token, request, order } = job;
    expect(again).toMatchObject({ id, createdAt, token, request, order, state: 'queued', attempt: 1, startedAt: null });
    expect(again.events.since(0)).toEqual(job.events.since(0));
  });

  it('has a token of its own, which nobody guesses', () => {
    const tokens = Array.from({ length: 50 }, () => newJob().token);
    expect(new Set(tokens).size).toBe(50);
    for (const token of tokens) expect(token).toMatch(/^[\w-]{43}$/);
  });
});
