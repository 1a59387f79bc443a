import { configTokens, type AppConfig } from '@app/config';
import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { JOB_STORE, type JobStore } from './store/job-store.js';

export interface StorageUse {
  /** Bytes of all jobs, with what is kept free for their results. */
  jobsUsed: number;
  /** Bytes that all jobs together may have. */
  jobsMax: number;
  /** Bytes that are free on the disk of the jobs; null when it does not tell. */
  free: number | null;
}

/** So often the disk is asked. */
const lookMs = 5000;

/** What the jobs take of their disk. Whoever asks does not wait for it, for a disk may hang: what is free is some seconds old. */
@Injectable()
export class JobStorage implements OnModuleInit, OnModuleDestroy {
  private free: number | null = null;
  private asking = false;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    @Inject(JOB_STORE) private readonly store: Pick<JobStore, 'usedBytes' | 'freeBytes'>,
    @Inject(configTokens.jobs) private readonly config: Pick<AppConfig['jobs'], 'maxBytes'>,
  ) {}

  /** Just before the server listens: the store is open by then, and the first who asks is told already. */
  async onModuleInit(): Promise<void> {
    this.timer = setInterval(() => void this.look(), lookMs).unref();
    await this.look();
  }

  onModuleDestroy(): void {
    if (this.timer) clearInterval(this.timer);
  }

  use(): StorageUse {
    return { jobsUsed: this.store.usedBytes(), jobsMax: this.config.maxBytes, free: this.free };
  }

  /** Never rejects. */
  private async look(): Promise<void> {
    if (this.asking) {
      // It has not answered since the last look: what it said before that is too old to be told.
      this.free = null;
      return;
    }
    this.asking = true;
    this.free = await this.store.freeBytes().catch(() => null);
    this.asking = false;
  }
}
