import { endedOf, readLedger } from './ledger.js';
import type { Lives } from './lives.js';

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
      const ledger = await readLedger(url);
      this.answers.metrics += 1;
      const sum = endedOf(ledger) + ledger.pending + ledger.running;
      if (ledger.accepted !== sum) this.faults.push(`accepted ${ledger.accepted}, ended + pending + running ${sum}`);
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
