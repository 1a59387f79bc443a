import type { Lives } from './lives.js';

export interface Ledger {
  accepted: number;
  ended: Record<'completed' | 'failed' | 'cancelled', number>;
  pending: number;
  running: number;
}

/** Asks the living server how it is, again and again, while others do it harm. */
export class Probe {
  /** Answers of each route. */
  readonly answers = { live: 0, metrics: 0 };
  /** Milliseconds of the slowest. */
  slowestMs = 0;
  readonly faults: string[] = [];
  private stopped = false;
  private readonly done: Promise<unknown>;

  constructor(private readonly lives: Lives) {
    this.done = Promise.all([this.watchLive(), this.watchLedger()]);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.done;
  }

  private async watchLive(): Promise<void> {
    await this.repeat(async (url) => {
      const { status } = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(10_000) });
      this.answers.live += 1;
      if (status !== 200) this.faults.push(`/health/live answered ${status}`);
    });
  }

  private async watchLedger(): Promise<void> {
    await this.repeat(async (url) => {
      const { accepted, ended, pending, running } = await readLedger(url);
      this.answers.metrics += 1;
      const sum = ended.completed + ended.failed + ended.cancelled + pending + running;
      if (accepted !== sum) this.faults.push(`accepted ${accepted}, ended + pending + running ${sum}`);
    });
  }

  private async repeat(ask: (url: string) => Promise<void>): Promise<void> {
    while (!this.stopped) {
      if (this.lives.isAlive) {
        const server = await this.lives.server();
        const began = performance.now();
        try {
          await ask(server.url);
          this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
        } catch (error) {
          // Unless the server was ended meanwhile.
          if (this.lives.isServedBy(server)) this.faults.push(`no answer: ${String(error)}`);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

export async function readLedger(url: string): Promise<Ledger> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  const read = (name: string) => {
    const line = text.split('\n').find((candidate) => candidate.startsWith(`qwen_image_jobs_${name} `));
    if (line === undefined) throw new Error(`/metrics has no ${name}`);
    return Number(line.split(' ').at(-1));
  };
  const ended = (status: string) => read(`ended_total{status="${status}"}`);
  return {
    accepted: read('accepted_total'),
    ended: { completed: ended('completed'), failed: ended('failed'), cancelled: ended('cancelled') },
    pending: read('pending'),
    running: read('running'),
  };
}
