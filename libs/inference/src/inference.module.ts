import { configTokens, type AppConfig } from '@app/config';
import { ImageProcessingModule } from '@app/image-processing';
import { Module } from '@nestjs/common';
import { Admission } from './admission.js';
import { InferenceService } from './inference.service.js';
import { JobLedger } from './job-ledger.js';
import { JobRunner } from './job-runner.js';
import { DurationEstimate } from './queue/duration-estimate.js';
import { JOB_QUEUE } from './queue/job-queue.js';
import { MemoryJobQueue } from './queue/memory.job-queue.js';
import { ResultEncoder } from './result-encoder.js';
import { FileJobStore } from './store/file.job-store.js';
import { JOB_STORE } from './store/job-store.js';

/** Needs EngineClient and SOFTWARE from around it. */
@Module({
  imports: [ImageProcessingModule],
  providers: [
    {
      provide: JOB_STORE,
      inject: [configTokens.jobs],
      useFactory: ({ directory, maxBytes }: AppConfig['jobs']) => new FileJobStore({ directory, maxBytes }),
    },
    DurationEstimate,
    JobLedger,
    JobRunner,
    {
      provide: JOB_QUEUE,
      inject: [JobRunner, configTokens.queue, DurationEstimate],
      useFactory: (runner: JobRunner, limits: AppConfig['queue'], estimate: DurationEstimate) =>
        new MemoryJobQueue(runner, limits, estimate),
    },
    Admission,
    ResultEncoder,
    InferenceService,
  ],
  exports: [InferenceService],
})
export class InferenceModule {}
