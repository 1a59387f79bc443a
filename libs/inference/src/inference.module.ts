import { configTokens, type AppConfig } from '@app/config';
import { ImageProcessingModule } from '@app/image-processing';
import { Module } from '@nestjs/common';
import { InferenceService } from './inference.service.js';
import { JOB_QUEUE } from './job-queue.js';
import { JobRunner } from './job-runner.js';
import { MemoryJobQueue } from './memory.job-queue.js';

/** Needs EngineClient and SOFTWARE from around it. */
@Module({
  imports: [ImageProcessingModule],
  providers: [
    JobRunner,
    {
      provide: JOB_QUEUE,
      inject: [JobRunner, configTokens.queue],
      useFactory: (runner: JobRunner, { maxPending }: AppConfig['queue']) => new MemoryJobQueue(runner, maxPending),
    },
    InferenceService,
  ],
  exports: [InferenceService],
})
export class InferenceModule {}
