import { configTokens, type AppConfig } from '@app/config';
import { Inject, Injectable } from '@nestjs/common';
import { JOB_STORE, type JobStore } from './store/job-store.js';

export interface StorageUse {
  /** Bytes of all jobs, with what is kept free for their results. */
  jobsUsed: number;
  /** Bytes that all jobs together may have. */
  jobsMax: number;
  /** Bytes that are free on the disk of the jobs; null when it does not tell. */
  free: number | null;
}

/** After so long the disk is asked anew. */
const freshMs = 5000;

/** What the jobs take of their disk. Whoever asks does not wait for it, for a disk may hang: what is free is some seconds old. */
@Injectable()
export class JobStorage {
  private free: number | null = null;
  private askedAt: number | null = null;
  private asking = false;

  constructor(
    @Inject(JOB_STORE) private readonly store: Pick<JobStore, 'usedBytes' | 'freeBytes'>,
    @Inject(configTokens.jobs) private readonly config: Pick<AppConfig['jobs'], 'maxBytes'>,
  ) {}

  use(): StorageUse {
    if (this.askedAt === null || performance.now() - this.askedAt >= freshMs) void this.refresh();
    return { jobsUsed: this.store.usedBytes(), jobsMax: this.config.maxBytes, free: this.free };
  }

  /** Never rejects. */
  async refresh(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    this.askedAt = performance.now();
    this.free = await this.store.freeBytes().catch(() => null);
    this.asking = false;
  }
}
