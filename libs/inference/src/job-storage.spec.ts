import { JobStorage } from './job-storage.js';

describe(JobStorage.name, () => {
  const clock = jest.spyOn(performance, 'now');
  let answers: ((bytes: number | Error) => void)[];
  let storage: JobStorage;
  beforeEach(() => {
    clock.mockReturnValue(1000);
    answers = [];
    const freeBytes = () =>
      new Promise<number>((resolve, reject) => {
        answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
      });
    storage = new JobStorage({ usedBytes: () => 70, freeBytes }, { maxBytes: 100 });
  });
  afterAll(() => clock.mockRestore());

  const told = async (answer: number | Error) => {
    answers.at(-1)?.(answer);
    await new Promise(setImmediate);
    return storage.use().free;
  };

  it('tells at once, however long the disk takes', async () => {
    expect(storage.use()).toEqual({ jobsUsed: 70, jobsMax: 100, free: null });
    clock.mockReturnValue(100_000);
    expect(storage.use().free).toBeNull();
    expect(answers).toHaveLength(1);
    expect(await told(5000)).toBe(5000);
  });

  it('asks the disk anew after some seconds', async () => {
    storage.use();
    expect(await told(5000)).toBe(5000);
    clock.mockReturnValue(5999);
    storage.use();
    expect(answers).toHaveLength(1);
    clock.mockReturnValue(6000);
    expect(storage.use().free).toBe(5000);
    expect(await told(4000)).toBe(4000);
  });

  it('does not know what a broken disk has', async () => {
    storage.use();
    expect(await told(5000)).toBe(5000);
    clock.mockReturnValue(6000);
    storage.use();
    expect(await told(new Error('EIO'))).toBeNull();
  });
});
