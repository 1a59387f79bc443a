import { InferenceModule } from '@app/inference';
import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController } from './health.controller.js';
import { ServiceHealth } from './service.health.js';

/** Needs EngineClient and SOFTWARE from around it. */
@Module({
  // A probe that is refused is no error to log: probes ask every few seconds.
  imports: [TerminusModule.forRoot({ logger: false }), InferenceModule],
  controllers: [HealthController],
  providers: [ServiceHealth],
  exports: [ServiceHealth],
})
export class HealthModule {}
