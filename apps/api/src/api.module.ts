import { ConfigModule, configTokens, type AppConfig } from '@app/config';
import { EngineModule, type EngineOptions } from '@app/engine';
import { HealthModule } from '@app/health';
import { ImageProcessingModule } from '@app/image-processing';
import { InferenceModule, SOFTWARE, type Software } from '@app/inference';
import { LogLevelSwitch, ObservabilityModule, TracingInterceptor, type createLogger } from '@app/observability';
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import { LogLevelController } from './admin/log-level.controller.js';
import { ModelRoot } from './admin/model-root.js';
import { ModelController } from './admin/model.controller.js';
import { ApiKeyGuard } from './access/api-key.guard.js';
import { ErrorFilter } from './errors/error.filter.js';
import { GenerationFieldsPipe } from './images/generation-fields.pipe.js';
import { GenerationAnswers } from './images/generation-answers.js';
import { ImagesController } from './images/images.controller.js';
import { RequestResolver } from './images/request-resolver.js';
import { InfoController } from './info/info.controller.js';
import { JobAccess } from './jobs/job-access.js';
import { JobLinks } from './jobs/job-links.js';
import { JobsController } from './jobs/jobs.controller.js';
import { HttpMetrics } from './metrics/http.metrics.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { ProcessMetrics } from './metrics/process.metrics.js';
import { ServiceMetrics } from './metrics/service.metrics.js';
import { RateLimitModule } from './rate-limit/rate-limit.module.js';
import { UploadBudget } from './uploads/upload-budget.js';

export interface ApiOptions {
  config: AppConfig;
  software: Software;
  /** Compiled main.js of the engine host. */
  hostPath: string;
  logger: ReturnType<typeof createLogger>;
}

/** The one list of what the api is made of. */
@Global()
@Module({})
export class ApiModule {
  static forRoot({ config, software, hostPath, logger }: ApiOptions): DynamicModule {
    return {
      module: ApiModule,
      imports: [
        ConfigModule.forRoot(config),
        ObservabilityModule,
        EngineModule.forRoot({
          inject: [configTokens.model, configTokens.prompt, configTokens.engine],
          useFactory: (model: AppConfig['model'], prompt: AppConfig['prompt'], watchdog: AppConfig['engine']) => ({
            options: { ...engineOptions(model, prompt, hostPath), watchdog },
            log: logger,
          }),
        }),
        ImageProcessingModule,
        InferenceModule,
        HealthModule,
        RateLimitModule,
      ],
      controllers: [
        ImagesController,
        JobsController,
        InfoController,
        LogLevelController,
        ModelController,
        ...(config.metrics.enabled ? [MetricsController] : []),
      ],
      providers: [
        { provide: SOFTWARE, useValue: software },
        { provide: LogLevelSwitch, useFactory: () => new LogLevelSwitch(logger) },
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_GUARD, useClass: ApiKeyGuard },
        { provide: APP_INTERCEPTOR, useClass: TracingInterceptor },
        { provide: APP_PIPE, useClass: GenerationFieldsPipe },
        RequestResolver,
        GenerationAnswers,
        JobAccess,
        JobLinks,
        ServiceMetrics,
        HttpMetrics,
        ProcessMetrics,
        UploadBudget,
        ModelRoot,
      ],
      exports: [SOFTWARE],
    };
  }
}

function engineOptions(
  model: AppConfig['model'],
  prompt: AppConfig['prompt'],
  hostPath: string,
): Omit<EngineOptions, 'watchdog'> {
  const { path, name, device, dtype, threads, residency, vaeTiling, memoryBudget } = model;
  return {
    host: { path: hostPath },
    model: { name, folder: path },
    load: { device, dtype, threads, residency, vaeTiling, memoryBudget },
    specialTokens: prompt.specialTokens,
  };
}
