import { JobEvents } from './job-events.js';
import type { JobEvent } from './job.types.js';

function names(events: JobEvents, after = 0): string[] {
  return events.since(after).map(({ name, data }) => `${name} ${JSON.stringify(data ?? {})}`);
}

function preview(events: JobEvents, index: number): JobEvent {
  const event = events.newPreview({ image: 0, index });
  events.tellPreview(event);
  return event;
}

describe(JobEvents.name, () => {
  it('gives a late reader the newest of each kind and every preview, in the order in which they happened', () => {
    const events = new JobEvents();
    events.queued({ position: 2 });
    events.queued({ position: 1 });
    events.started({ attempt: 1 });
    events.progress({ step: 1 });
    preview(events, 0);
    events.progress({ step: 2 });
    preview(events, 1);
    expect(names(events)).toEqual([
      'queued {"position":1}',
      'started {"attempt":1}',
      'preview {"image":0,"index":0}',
      'progress {"step":2}',
      'preview {"image":0,"index":1}',
    ]);
    expect(events.since(0).map(({ id }) => id)).toEqual([2, 3, 5, 6, 7]);
  });

  it('gives a reader that has some only what is newer', () => {
    const events = new JobEvents();
    const started = events.started({ attempt: 1 });
    events.progress({ step: 1 });
    expect(names(events, started.id)).toEqual(['progress {"step":1}']);
    expect(events.since(2)).toEqual([]);
  });

  it('starts progress anew with another attempt, and never tells a preview twice', () => {
    const events = new JobEvents();
    events.started({ attempt: 1 });
    preview(events, 0);
    events.progress({ step: 9 });
    events.queued({ position: 1 });
    events.started({ attempt: 2 });
    expect(names(events)).toEqual(['preview {"image":0,"index":0}', 'queued {"position":1}', 'started {"attempt":2}']);
  });

  it('tells a preview when it is stored, and knows which there are', () => {
    const events = new JobEvents();
    const event = events.newPreview({ image: 0, index: 1 });
    expect([events.since(0), events.hasPreview(0, 1)]).toEqual([[], false]);
    events.tellPreview(event);
    expect(events.since(0)).toEqual([event]);
    expect([events.hasPreview(0, 1), events.hasPreview(1, 1), events.hasPreview(0, 0)]).toEqual([true, false, false]);
  });

  it('has one last event, with the highest id', () => {
    const events = new JobEvents();
    events.started({ attempt: 1 });
    expect(events.hasEnded).toBe(false);
    events.end('completed');
    expect(events.hasEnded).toBe(true);
    expect(events.since(0).at(-1)).toEqual({ id: 2, name: 'completed', data: null });
    expect(events.since(2)).toEqual([]);
  });

  it('goes on with higher ids in the next server, whatever this one told after it was stored', () => {
    const first = new JobEvents();
    first.queued({ position: 1 });
    const stored = first.toRecord();
    for (let i = 0; i < 1000; i++) first.progress({ step: i });
    const last = first.progress({ step: 1000 });
    const second = new JobEvents(stored);
    const queued = second.queued({ position: 1 });
    expect(queued.id).toBeGreaterThan(last.id);
    const third = new JobEvents(second.toRecord());
    expect(third.started({ attempt: 1 }).id).toBeGreaterThan(queued.id);
    expect(names(third)).toEqual(['queued {"position":1}', 'started {"attempt":1}']);
  });

  it('keeps previews of earlier servers with their ids', () => {
    const first = new JobEvents();
    const older = preview(first, 0);
    const second = new JobEvents(first.toRecord(), [older]);
    const newer = preview(second, 1);
    expect(second.since(0)).toEqual([older, newer]);
    expect(second.since(older.id)).toEqual([newer]);
  });

  it('knows what readers know of the place in the queue', () => {
    const events = new JobEvents();
    expect(events.toldPosition).toBeNull();
    events.queued({ position: 3 });
    expect(events.toldPosition).toBe(3);
    events.started({ attempt: 1 });
    expect(events.toldPosition).toBeNull();
    expect(new JobEvents(events.toRecord()).toldPosition).toBeNull();
    events.queued({ position: 1 });
    expect(events.toldPosition).toBe(1);
  });

  it('wakes its readers at each event but the last, which must be stored first', () => {
    const events = new JobEvents();
    const change = jest.fn();
    const forget = events.onChange(change);
    expect(events.readers).toBe(1);
    events.queued({ position: 1 });
    events.started({ attempt: 1 });
    events.progress({ step: 1 });
    preview(events, 0);
    expect(change).toHaveBeenCalledTimes(4);
    events.end('failed');
    expect(change).toHaveBeenCalledTimes(4);
    events.changed();
    expect(change).toHaveBeenCalledTimes(5);
    forget();
    events.changed();
    expect(change).toHaveBeenCalledTimes(5);
    expect(events.readers).toBe(0);
  });

  it('holds no more for a long job', () => {
    const events = new JobEvents();
    for (let i = 0; i < 10_000; i++) events.progress({ step: i });
    expect(events.since(0)).toHaveLength(1);
    expect(events.toRecord().latest).toHaveLength(1);
  });
});
