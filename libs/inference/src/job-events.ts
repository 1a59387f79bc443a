import { EventEmitter } from 'node:events';
import { endStates, type EndState, type EventsRecord, type JobEvent, type JobEventName } from './job.types.js';

/** Ids of one server; more than any job has events. */
const idsPerGeneration = 1_000_000_000;

type EventData = Readonly<Record<string, unknown>>;

export interface PreviewData extends EventData {
  image: number;
  index: number;
}

/**
 * What happened to one job, as far as a late reader must know it: the newest of each kind and every preview. Older ones are dropped
 * at once, so that neither a long job nor a slow reader holds memory.
 */
export class JobEvents {
  private nextId: number;
  private readonly generation: number;
  private readonly latest = new Map<JobEventName, JobEvent>();
  private readonly previews: JobEvent[] = [];
  private readonly changes = new EventEmitter().setMaxListeners(0);

  constructor(before?: EventsRecord, previews: readonly JobEvent[] = []) {
    this.generation = before ? before.generation + 1 : 0;
    this.nextId = this.generation * idsPerGeneration + 1;
    for (const event of before?.latest ?? []) this.latest.set(event.name, event);
    this.previews.push(...previews);
  }

  /** Nothing follows the last event. */
  get hasEnded(): boolean {
    return endStates.some((state) => this.latest.has(state));
  }

  get readers(): number {
    return this.changes.listenerCount('change');
  }

  /** What readers know of where the job waits; null when it has run since. */
  get toldPosition(): unknown {
    const queued = this.latest.get('queued');
    const startedId = this.latest.get('started')?.id ?? 0;
    return queued && queued.id > startedId ? queued.data?.position : null;
  }

  queued(data: EventData): JobEvent {
    return this.keep('queued', data);
  }

  started(data: EventData): JobEvent {
    // Of an earlier run: progress starts anew.
    this.latest.delete('progress');
    return this.keep('started', data);
  }

  progress(data: EventData): JobEvent {
    return this.keep('progress', data);
  }

  hasPreview(image: number, index: number): boolean {
    return this.previews.some(({ data }) => data?.image === image && data.index === index);
  }

  /** Not told yet: it is to be stored first. */
  newPreview(data: PreviewData): JobEvent {
    return this.next('preview', data);
  }

  tellPreview(event: JobEvent): void {
    this.previews.push(event);
    this.changed();
  }

  /** The last event; readers are told by `changed`, once it is sure that it stays so. */
  end(state: EndState): JobEvent {
    const event = this.next(state, null);
    this.latest.set(state, event);
    return event;
  }

  /** Newer than event `id`, in the order in which they happened. */
  since(id: number): JobEvent[] {
    const events = [...this.latest.values(), ...this.previews];
    return events.filter((event) => event.id > id).sort((a, b) => a.id - b.id);
  }

  changed(): void {
    this.changes.emit('change');
  }

  onChange(listener: () => void): () => void {
    this.changes.on('change', listener);
    return () => this.changes.off('change', listener);
  }

  toRecord(): EventsRecord {
    return { generation: this.generation, latest: [...this.latest.values()] };
  }

  private keep(name: JobEventName, data: EventData): JobEvent {
    const event = this.next(name, data);
    this.latest.set(name, event);
    this.changed();
    return event;
  }

  private next(name: JobEventName, data: EventData | null): JobEvent {
    return { id: this.nextId++, name, data };
  }
}
