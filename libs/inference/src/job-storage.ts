import { configTokens, type AppConfig } from '@app/config';
import { Inject, Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { JOB_STORE, type JobStore } from './store/job-store.js';
import type { StorageRefusal } from './store/storage-limit.js';

export interface StorageUse {
  /** Bytes of all jobs, with what is kept free for their results. */
  jobsUsed: number;
  /** Bytes that all jobs together may have. */
  jobsMax: number;
  /** Bytes that are free on the disk of the jobs; null when it does not tell. */
  free: number | null;
  /** Why the disk takes no job, with no path; null when it takes them. */
  refusal: string | null;
}

/** So often the disk is asked. */
const lookMs = 5000;

/** What the jobs take of their disk, and whether it takes more. Whoever asks does not wait for it, for a disk may hang: what is told is some seconds old. */
@Injectable()
export class JobStorage implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(JobStorage.name);
  private free: number | null = null;
  private refusal: StorageRefusal | null = null;
  private asking = false;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    @Inject(JOB_STORE) private readonly store: Pick<JobStore, 'usedBytes' | 'lookAtDisk'>,
    @Inject(configTokens.jobs) private readonly config: Pick<AppConfig['jobs'], 'directory' | 'maxBytes'>,
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
    const { free, refusal } = this;
    return { jobsUsed: this.store.usedBytes(), jobsMax: this.config.maxBytes, free, refusal: refusal?.message ?? null };
  }

  /** Never rejects. */
  private async look(): Promise<void> {
    if (this.asking) {
      // It has not answered since the last look: what it said before that is too old to be told.
      this.free = null;
      return;
    }
    this.asking = true;
    const { free, refusal } = await this.store.lookAtDisk();
    this.asking = false;
    this.free = free;
    this.note(refusal);
  }

  /** Once when it becomes so, and once when it is over: of each refused job there is a line too. */
  private note(refusal: StorageRefusal | null): void {
    const before = this.refusal;
    this.refusal = refusal;
    if (refusal?.message === before?.message) return;
    const { directory } = this.config;
    if (refusal) this.logger.error(`no job can be stored in ${directory}, the service is not ready: ${refusal.forLog}`);
    else this.logger.log(`jobs can be stored in ${directory} again`);
  }
}
