import { JobStorage } from './job-storage.js';

describe(JobStorage.name, () => {
  let answers: ((bytes: number | Error) => void)[];
  let storage: JobStorage;
  let opened: Promise<void>;
  beforeEach(() => {
    jest.useFakeTimers();
    answers = [];
    const freeBytes = () =>
      new Promise<number>((resolve, reject) => {
        answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
      });
    storage = new JobStorage({ usedBytes: () => 70, freeBytes }, { maxBytes: 100 });
    opened = storage.onModuleInit();
  });
  afterEach(() => {
    storage.onModuleDestroy();
    jest.useRealTimers();
  });

  const answer = async (bytes: number | Error) => {
    answers.at(-1)?.(bytes);
    await jest.advanceTimersByTimeAsync(0);
  };
  const free = () => storage.use().free;

  it('knows what is free before anybody asks', async () => {
    await answer(5000);
    await opened;
    expect(storage.use()).toEqual({ jobsUsed: 70, jobsMax: 100, free: 5000 });
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

  it('does not know what a broken disk has', async () => {
    await answer(5000);
    await jest.advanceTimersByTimeAsync(5000);
    await answer(new Error('EIO'));
    expect(free()).toBeNull();
  });

  it('asks no more when the server has ended', async () => {
    await answer(5000);
    storage.onModuleDestroy();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(answers).toHaveLength(1);
  });
});
