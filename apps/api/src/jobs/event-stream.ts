import type { JobEvent, JobWatch } from '@app/inference';
import type { ServerResponse } from 'node:http';

/** A proxy in front takes a connection without bytes for dead: after a minute, mostly. */
export const keepAwakeMs = 15_000;

export const streamHeaders = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  // nginx collects answers otherwise.
  'X-Accel-Buffering': 'no',
} as const;

/**
 * One reader of a job's events, as a cursor: nothing is written while the connection is full, and what is newer is asked for
 * when it has room again. So a reader that is slow, or reads nothing at all until it is cut off, holds one event here and no more.
 */
export class EventStream {
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
    private readonly awakeMs = keepAwakeMs,
  ) {}

  open(): void {
    const { response, watch } = this;
    if (response.destroyed) return;
    response.writeHead(200, streamHeaders);
    response.flushHeaders();
    const awake = setInterval(() => this.keepAwake(), this.awakeMs);
    const onNews = () => this.takeNews();
    const forget = watch.onChange(onNews);
    const onDrain = () => {
      this.isFull = false;
      onNews();
    };
    response.on('drain', onDrain);
    response.once('close', () => {
      forget();
      response.off('drain', onDrain);
      clearInterval(awake);
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
      if (isLast) this.response.end();
      if (isLast || this.isFull) return;
    }
    if (nothingFollows && !this.hasEnded) this.response.end();
  }

  private get hasEnded(): boolean {
    return this.response.destroyed || this.response.writableEnded;
  }

  private send(text: string): void {
    this.isFull = !this.response.write(text);
  }

  private keepAwake(): void {
    if (!this.isFull && !this.hasEnded) this.send(':\n\n');
  }
}

function eventText({ id, name }: JobEvent, data: object): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
