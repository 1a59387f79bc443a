import { LiveClients } from './live-clients.js';

const graceMs = 1000;

describe(LiveClients.name, () => {
  let clients: LiveClients;
  let gone: jest.Mock;

  beforeEach(() => {
    jest.useFakeTimers();
    clients = new LiveClients();
    gone = jest.fn();
  });
  afterEach(() => jest.useRealTimers());

  function attach(ms = graceMs): { client: AbortController; leave: () => void } {
    const client = new AbortController();
    return { client, leave: clients.attach('a job', client.signal, ms, gone) };
  }

  function held(): number {
    const { counts, graces } = clients as unknown as Record<'counts' | 'graces', Map<string, unknown>>;
    return counts.size + graces.size;
  }

  it('tells at once that the only client has gone, when there is no grace', () => {
    const { client } = attach(0);
    client.abort();
    expect(gone).toHaveBeenCalledTimes(1);
    expect(held()).toBe(0);
  });

  it('tells of a client that had gone before it came', () => {
    clients.attach('a job', AbortSignal.abort(), 0, gone);
    expect(gone).toHaveBeenCalledTimes(1);
  });

  it('waits for the grace', () => {
    attach().client.abort();
    jest.advanceTimersByTime(graceMs - 1);
    expect(gone).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(gone).toHaveBeenCalledTimes(1);
    expect(held()).toBe(0);
  });

  it('tells nothing when another client comes within the grace', () => {
    attach().client.abort();
    jest.advanceTimersByTime(graceMs - 1);
    const other = attach();
    jest.advanceTimersByTime(10 * graceMs);
    expect(gone).not.toHaveBeenCalled();
    other.client.abort();
    jest.advanceTimersByTime(graceMs);
    expect(gone).toHaveBeenCalledTimes(1);
  });

  it('waits until the last of several has gone', () => {
    const several = [attach(0), attach(0), attach(0)];
    several[1]?.client.abort();
    several[0]?.client.abort();
    expect(gone).not.toHaveBeenCalled();
    several[2]?.client.abort();
    expect(gone).toHaveBeenCalledTimes(1);
  });

  it('does not take a client that got its answer for one that has gone', () => {
    const { client, leave } = attach(0);
    leave();
    client.abort();
    expect(gone).not.toHaveBeenCalled();
    expect(held()).toBe(0);
  });

  it('counts a client that has gone once, whatever is called after it', () => {
    const first = attach();
    const second = attach();
    first.client.abort();
    first.leave();
    first.leave();
    jest.advanceTimersByTime(graceMs);
    expect(gone).not.toHaveBeenCalled();
    second.client.abort();
    second.leave();
    jest.advanceTimersByTime(graceMs);
    expect(gone).toHaveBeenCalledTimes(1);
    expect(held()).toBe(0);
  });

  it('tells jobs apart', () => {
    attach(0);
    const other = jest.fn();
    const client = new AbortController();
    clients.attach('another job', client.signal, 0, other);
    client.abort();
    expect([gone.mock.calls.length, other.mock.calls.length]).toEqual([0, 1]);
  });
});
