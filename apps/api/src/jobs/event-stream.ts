import type { JobEvent, JobWatch } from '@app/inference';
import type { ServerResponse } from 'node:http';

/** A proxy in front takes a connection without bytes for dead: after a minute, mostly. */
export const keepAwakeMs = 15_000;
/** A reader that has not taken what was written to it for so long is gone, or might as well be. */
export const patienceMs = 60_000;

export const streamHeaders = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  // nginx collects answers otherwise.
  'X-Accel-Buffering': 'no',
} as const;

export interface StreamTimes {
  keepAwakeMs: number;
  patienceMs: number;
}

/**
 * One reader of a job's events, as a cursor: nothing is written while the connection is full, and what is newer is asked for
 * when it has room again. So a reader that is slow, or reads nothing at all, holds one event here and no more.
 */
export class EventStream {
  private timers: { awake: NodeJS.Timeout; patience: NodeJS.Timeout | null } | null = null;
  private writing = false;
  private hasNews = false;
  private isFull = false;

  constructor(
    private readonly response: ServerResponse,
    private readonly watch: JobWatch,
    /** Id of the event that the reader has already; 0 = none. */
    private lastId: number,
    /** Data of the last event: the job itself; null when it is forgotten already. */
    private readonly job: () => Promise<object | null>,
    private readonly onError: (error: unknown) => void,
    private readonly times: StreamTimes = { keepAwakeMs, patienceMs },
  ) {}

  open(): void {
    const { response, watch } = this;
    if (response.destroyed) return;
    response.writeHead(200, streamHeaders);
    response.flushHeaders();
    this.timers = { awake: setInterval(() => this.keepAwake(), this.times.keepAwakeMs), patience: null };
    const onNews = () => this.takeNews();
    const forget = watch.onChange(onNews);
    const onDrain = () => {
      this.isFull = false;
      this.stopPatience();
      onNews();
    };
    response.on('drain', onDrain);
    response.once('close', () => {
      forget();
      response.off('drain', onDrain);
      clearInterval(this.timers?.awake);
      this.stopPatience();
      this.timers = null;
    });
    onNews();
  }

  private takeNews(): void {
    this.hasNews = true;
    if (!this.writing) void this.write();
  }

  private async write(): Promise<void> {
    this.writing = true;
    try {
      while (this.hasNews && !this.isFull && !this.hasEnded) {
        this.hasNews = false;
        await this.writeNews();
      }
    } catch (error) {
      this.onError(error);
      this.response.destroy();
    }
    this.writing = false;
  }

  private async writeNews(): Promise<void> {
    // Before the look: what ends in between is told by another change.
    const nothingFollows = this.watch.isOver;
    for (const event of await this.watch.since(this.lastId)) {
      const isLast = event.data === null;
      const data = event.data ?? (await this.job());
      if (this.hasEnded) return;
      this.lastId = event.id;
      if (data !== null) this.send(eventText(event, data));
      if (isLast) this.end();
      if (isLast || this.isFull) return;
    }
    if (nothingFollows && !this.hasEnded) this.end();
  }

  private get hasEnded(): boolean {
    return this.response.destroyed || this.response.writableEnded;
  }

  private send(text: string): void {
    if (this.response.write(text)) return;
    this.isFull = true;
    this.startPatience();
  }

  private end(): void {
    this.response.end();
    this.startPatience();
  }

  private keepAwake(): void {
    if (!this.isFull && !this.hasEnded) this.send(':\n\n');
  }

  private startPatience(): void {
    if (!this.timers) return;
    this.timers.patience ??= setTimeout(() => this.response.destroy(), this.times.patienceMs);
  }

  private stopPatience(): void {
    if (!this.timers?.patience) return;
    clearTimeout(this.timers.patience);
    this.timers.patience = null;
  }
}

function eventText({ id, name }: JobEvent, data: object): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
