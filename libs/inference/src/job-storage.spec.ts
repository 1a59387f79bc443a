import { Logger } from '@nestjs/common';
import { JobStorage } from './job-storage.js';
import { StorageRefusal, type DiskState } from './store/storage-limit.js';

const full = (bytes: number) => new StorageRefusal('the disk is full', `${bytes} bytes are free`);
const gone = new StorageRefusal('the folder is gone', "ENOENT: access '/srv/jobs'");

describe(JobStorage.name, () => {
  let answers: ((state: DiskState) => void)[];
  let storage: JobStorage;
  let opened: Promise<void>;
  beforeEach(() => {
    jest.useFakeTimers();
    answers = [];
    const lookAtDisk = () => new Promise<DiskState>((resolve) => answers.push(resolve));
    storage = new JobStorage({ usedBytes: () => 70, lookAtDisk }, { directory: '/srv/jobs', maxBytes: 100 });
    opened = storage.onModuleInit();
  });
  afterEach(() => {
    storage.onModuleDestroy();
    jest.useRealTimers();
    jest.restoreAllMocks();
  });

  const answer = async (free: number | null, refusal: StorageRefusal | null = null) => {
    answers.at(-1)?.({ free, refusal });
    await jest.advanceTimersByTimeAsync(0);
  };
  const free = () => storage.use().free;

  it('knows what is free before anybody asks', async () => {
    await answer(5000);
    await opened;
    expect(storage.use()).toEqual({ jobsUsed: 70, jobsMax: 100, free: 5000, refusal: null });
    expect(answers).toHaveLength(1);
  });

  it('asks the disk every few seconds, whether anybody wants to know or not', async () => {
    await answer(5000);
    for (const bytes of [4000, 3000, 2000]) {
      await jest.advanceTimersByTimeAsync(5000);
      await answer(bytes);
    }
    expect(answers).toHaveLength(4);
    expect(free()).toBe(2000);
  });

  it('does not wait for the disk, and tells nothing that is old', async () => {
    await answer(5000);
    await jest.advanceTimersByTimeAsync(5000);
    expect(free()).toBe(5000);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(free()).toBeNull();
    expect(answers).toHaveLength(2);
    await answer(4000);
    expect(free()).toBe(4000);
  });

  it('tells why no job is stored, with a line when that begins, changes and is over', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation();
    const log = jest.spyOn(Logger.prototype, 'log').mockImplementation();
    await answer(5000);
    for (const [free, refusal] of [
      [10, full(10)],
      [9, full(9)],
      [null, gone],
      [null, gone],
      [5000, null],
    ] as const) {
      await jest.advanceTimersByTimeAsync(5000);
      await answer(free, refusal);
      expect(storage.use()).toMatchObject({ free, refusal: refusal?.message ?? null });
    }
    expect(error.mock.calls).toEqual([
      ['no job can be stored in /srv/jobs, the service is not ready: 10 bytes are free'],
      ["no job can be stored in /srv/jobs, the service is not ready: ENOENT: access '/srv/jobs'"],
    ]);
    expect(log.mock.calls).toEqual([['jobs can be stored in /srv/jobs again']]);
  });

  it('asks no more when the server has ended', async () => {
    await answer(5000);
    storage.onModuleDestroy();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(answers).toHaveLength(1);
  });
});
