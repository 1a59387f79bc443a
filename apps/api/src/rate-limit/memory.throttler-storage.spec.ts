import { MemoryThrottlerStorage } from './memory.throttler-storage.js';

const windowMs = 60_000;

describe(MemoryThrottlerStorage.name, () => {
  let storage: MemoryThrottlerStorage;

  beforeEach(() => {
    jest.useFakeTimers();
    storage = new MemoryThrottlerStorage();
  });
  afterEach(() => {
    storage.onApplicationShutdown();
    jest.useRealTimers();
  });

  const hit = (key = 'a', limit = 2) => storage.increment(key, windowMs, limit);

  it('lets in as many as the limit, each client its own, and tells how long the next one has to wait', async () => {
    expect(await hit()).toEqual({ totalHits: 1, timeToExpire: 60, isBlocked: false, timeToBlockExpire: 0 });
    jest.advanceTimersByTime(10_500);
    expect(await hit()).toEqual({ totalHits: 2, timeToExpire: 50, isBlocked: false, timeToBlockExpire: 0 });
    expect(await hit()).toEqual({ totalHits: 3, timeToExpire: 50, isBlocked: true, timeToBlockExpire: 50 });
    expect(await hit('b')).toMatchObject({ totalHits: 1, isBlocked: false });
  });

  it('lets a client in again when its oldest request has left the window, though it went on asking', async () => {
    await hit();
    jest.advanceTimersByTime(20_000);
    await hit();
    for (let left = 40; left > 0; left--) {
      expect(await hit()).toMatchObject({ isBlocked: true, timeToBlockExpire: left });
      jest.advanceTimersByTime(1000);
    }
    expect(await hit()).toMatchObject({ totalHits: 2, isBlocked: false, timeToExpire: 20 });
    expect(await hit()).toMatchObject({ isBlocked: true, timeToBlockExpire: 20 });
  });

  it.each([-86_400_000, 86_400_000])('counts as before when the wall clock is set by %i ms', async (jumpMs) => {
    await hit();
    await hit();
    jest.setSystemTime(Date.now() + jumpMs);
    expect(await hit()).toMatchObject({ totalHits: 3, isBlocked: true, timeToBlockExpire: 60 });
    jest.advanceTimersByTime(windowMs);
    expect(await hit()).toMatchObject({ totalHits: 1, isBlocked: false, timeToExpire: 60 });
  });

  it('never tells of more seconds than the window has, whatever fraction of a millisecond it is', async () => {
    const clock = jest.spyOn(performance, 'now');
    for (const now of [0.1, 1234.567891, 86_400_000.3]) {
      clock.mockReturnValue(now);
      expect(await hit(`at ${now}`)).toMatchObject({ timeToExpire: 60 });
    }
    clock.mockRestore();
  });

  it('forgets clients that do not come again, and no other', async () => {
    for (let i = 0; i < 1000; i++) await hit(`passer-by ${i}`);
    jest.advanceTimersByTime(windowMs - 1);
    await hit('regular');
    expect(storage.size).toBe(1001);
    jest.advanceTimersByTime(windowMs - 1);
    expect(storage.size).toBe(1);
    expect(await hit('regular')).toMatchObject({ totalHits: 2 });
    jest.advanceTimersByTime(2 * windowMs);
    expect(storage.size).toBe(0);
  });

  it('remembers no more clients than it may, and of too many those that came last', async () => {
    storage = new MemoryThrottlerStorage(3);
    for (const key of ['a', 'b', 'c', 'a', 'd', 'e']) await hit(key);
    expect(storage.size).toBe(3);
    expect(await hit('a')).toMatchObject({ isBlocked: true });
    expect(await hit('b')).toMatchObject({ totalHits: 1 });
  });

  it('leaves no timer behind', async () => {
    await hit();
    storage.onApplicationShutdown();
    expect([jest.getTimerCount(), storage.size]).toEqual([0, 0]);
  });
});
