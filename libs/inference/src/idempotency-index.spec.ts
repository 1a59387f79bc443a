import { IdempotencyIndex } from './idempotency-index.js';

const sent = { key: 'a key', fingerprint: 'of the request' };
const order = { owner: 'me', idempotency: sent };

describe(IdempotencyIndex.name, () => {
  let gone: Set<string>;
  let index: IdempotencyIndex;
  let made: number;
  const make = () => Promise.resolve(`job ${++made}`);

  beforeEach(() => {
    gone = new Set();
    made = 0;
    index = new IdempotencyIndex((jobId) => !gone.has(jobId));
  });

  it('makes one job for one key, however often it comes', async () => {
    await expect(index.join('me', sent, make)).resolves.toBe('job 1');
    await expect(index.join('me', sent, make)).resolves.toBe('job 1');
    expect([made, index.has('me', 'a key')]).toEqual([1, true]);
  });

  it('joins those that come while the job is being made', async () => {
    let finish: (jobId: string) => void = () => {};
    const slowly = jest.fn(() => new Promise<string>((resolve) => (finish = resolve)));
    const joined = Array.from({ length: 5 }, () => index.join('me', sent, slowly));
    expect(index.has('me', 'a key')).toBe(true);
    await expect(index.join('me', { ...sent, fingerprint: 'of another' }, make)).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
    finish('the job');
    expect(await Promise.all(joined)).toEqual(Array.from({ length: 5 }, () => 'the job'));
    expect(slowly).toHaveBeenCalledTimes(1);
  });

  it('tells all of them why none was made, and makes one for the next', async () => {
    const refusal = new Error('the queue is full');
    let refuse = () => {};
    const failing = () => new Promise<string>((_resolve, reject) => (refuse = () => reject(refusal)));
    const joined = [index.join('me', sent, failing), index.join('me', sent, make)];
    refuse();
    for (const one of joined) await expect(one).rejects.toBe(refusal);
    expect(index.has('me', 'a key')).toBe(false);
    await expect(index.join('me', sent, make)).resolves.toBe('job 1');
  });

  it('refuses another request with the same key, of the same owner', async () => {
    await index.join('me', sent, make);
    await expect(index.join('me', { ...sent, fingerprint: 'of another' }, make)).rejects.toMatchObject({
      name: 'ServiceError',
      code: 'IDEMPOTENCY_CONFLICT',
    });
    await expect(index.join('you', { ...sent, fingerprint: 'of another' }, make)).resolves.toBe('job 2');
    await expect(index.join(null, sent, make)).resolves.toBe('job 3');
    expect(made).toBe(3);
  });

  it('does not take the name of an owner for a part of the key', async () => {
    await index.join('a', { ...sent, key: 'b","c' }, make);
    await expect(index.join('a","b', { ...sent, key: 'c' }, make)).resolves.toBe('job 2');
  });

  it('makes a new job when the one that it has is forgotten', async () => {
    await index.join('me', sent, make);
    index.forget('another job', order);
    await expect(index.join('me', sent, make)).resolves.toBe('job 1');
    index.forget('job 1', order);
    expect(index.has('me', 'a key')).toBe(false);
    await expect(index.join('me', { ...sent, fingerprint: 'of another' }, make)).resolves.toBe('job 2');
  });

  it('makes a new job when the one that it has may not be joined any more', async () => {
    await index.join('me', sent, make);
    gone.add('job 1');
    expect(index.has('me', 'a key')).toBe(false);
    await expect(index.join('me', { ...sent, fingerprint: 'of another' }, make)).resolves.toBe('job 2');
    index.forget('job 1', order);
    expect(index.has('me', 'a key')).toBe(true);
  });

  it('knows jobs of an earlier server', async () => {
    index.add('an older job', order);
    index.add('without a key', { owner: 'me', idempotency: null });
    await expect(index.join('me', sent, make)).resolves.toBe('an older job');
    expect(made).toBe(0);
  });
});
