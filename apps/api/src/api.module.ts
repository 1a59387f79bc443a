import { ConfigModule, configTokens, type AppConfig } from '@app/config';
import { EngineModule, type EngineLog, type EngineOptions } from '@app/engine';
import { HealthModule } from '@app/health';
import { ImageProcessingModule } from '@app/image-processing';
import { InferenceModule, SOFTWARE, type Software } from '@app/inference';
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { ApiKeyGuard } from './access/api-key.guard.js';
import { ErrorFilter } from './errors/error.filter.js';
import { GenerationFieldsPipe } from './images/generation-fields.pipe.js';
import { ImagesController } from './images/images.controller.js';
import { RequestResolver } from './images/request-resolver.js';
import { InfoController } from './info/info.controller.js';
import { RateLimitModule } from './rate-limit/rate-limit.module.js';

export interface ApiOptions {
  config: AppConfig;
  software: Software;
  /** Compiled main.js of the engine host. */
  hostPath: string;
  engineLog: EngineLog;
}

/** The one list of what the api is made of. */
@Global()
@Module({})
export class ApiModule {
  static forRoot({ config, software, hostPath, engineLog }: ApiOptions): DynamicModule {
    return {
      module: ApiModule,
      imports: [
        ConfigModule.forRoot(config),
        EngineModule.forRoot({
          inject: [configTokens.model, configTokens.prompt],
          useFactory: (model: AppConfig['model'], prompt: AppConfig['prompt']) => ({
            options: engineOptions(model, prompt, hostPath),
            log: engineLog,
          }),
        }),
        ImageProcessingModule,
        InferenceModule,
        HealthModule,
        RateLimitModule,
      ],
      controllers: [ImagesController, InfoController],
      providers: [
        { provide: SOFTWARE, useValue: software },
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_GUARD, useClass: ApiKeyGuard },
        { provide: APP_PIPE, useClass: GenerationFieldsPipe },
        RequestResolver,
      ],
      exports: [SOFTWARE],
    };
  }
}

function engineOptions(model: AppConfig['model'], prompt: AppConfig['prompt'], hostPath: string): EngineOptions {
  const { path, device, dtype, threads, residency, vaeTiling, memoryBudget } = model;
  return {
    host: { path: hostPath },
    folder: path,
    load: { device, dtype, threads, residency, vaeTiling, memoryBudget },
    specialTokens: prompt.specialTokens,
  };
}
