import { newJob } from '../../../test/fixtures/job-request.js';

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
  });

  it('runs once more when it has waited again', () => {
    const job = newJob();
    job.moveTo('running');
    job.progress = { stage: 'denoise', image: 0, step: 3, total: 4 };
    job.moveTo('queued');
    expect(job).toMatchObject({ attempt: 1, finishedAt: null });
    job.moveTo('running');
    expect(job).toMatchObject({ attempt: 2, progress: null });
  });

  it('cannot complete without having run', () => {
    expect(() => newJob().moveTo('completed')).toThrow('cannot go from queued to completed');
  });
});
