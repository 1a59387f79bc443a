import { configTokens, type AppConfig } from '@app/config';
import { ImageProcessingModule } from '@app/image-processing';
import { Module } from '@nestjs/common';
import { Admission } from './admission.js';
import { InferenceService } from './inference.service.js';
import { JobLedger } from './job-ledger.js';
import { JobMetrics } from './job-metrics.js';
import { JobRunner } from './job-runner.js';
import { JobStorage } from './job-storage.js';
import { DurationEstimate } from './queue/duration-estimate.js';
import { JOB_QUEUE } from './queue/job-queue.js';
import { MemoryJobQueue } from './queue/memory.job-queue.js';
import { ResultEncoder } from './result-encoder.js';
import { FileJobStore } from './store/file.job-store.js';
import { JOB_STORE } from './store/job-store.js';

/** Needs EngineClient, SOFTWARE and MetricsRegistry from around it. */
@Module({
  imports: [ImageProcessingModule],
  providers: [
    {
      provide: JOB_STORE,
      inject: [configTokens.jobs, JobMetrics],
      useFactory: ({ directory, maxBytes }: AppConfig['jobs'], metrics: JobMetrics) =>
        new FileJobStore({ directory, maxBytes, onSync: (ms) => metrics.synced(ms) }),
    },
    JobMetrics,
    DurationEstimate,
    JobLedger,
    JobStorage,
    Admission,
    JobRunner,
    {
      provide: JOB_QUEUE,
      inject: [JobRunner, configTokens.queue, DurationEstimate],
      useFactory: (runner: JobRunner, limits: AppConfig['queue'], estimate: DurationEstimate) =>
        new MemoryJobQueue(runner, limits, estimate),
    },
    ResultEncoder,
    InferenceService,
  ],
  exports: [InferenceService, JobStorage, Admission],
})
export class InferenceModule {}
