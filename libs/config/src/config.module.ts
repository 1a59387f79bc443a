import { Module, type DynamicModule } from '@nestjs/common';
import { ConfigModule as NestConfigModule, getConfigToken, registerAs } from '@nestjs/config';
import type { AppConfig } from './app-config.js';

/** Injection tokens, one a slice: `@Inject(configTokens.limits) private readonly limits: LimitsConfig`. */
export const configTokens = {
  server: getConfigToken('server'),
  model: getConfigToken('model'),
  prompt: getConfigToken('prompt'),
  limits: getConfigToken('limits'),
  queue: getConfigToken('queue'),
  jobs: getConfigToken('jobs'),
  engine: getConfigToken('engine'),
  rateLimit: getConfigToken('rateLimit'),
  redis: getConfigToken('redis'),
  auth: getConfigToken('auth'),
  logging: getConfigToken('logging'),
  tracing: getConfigToken('tracing'),
  docs: getConfigToken('docs'),
  metrics: getConfigToken('metrics'),
} as const satisfies Record<keyof AppConfig, string>;

/** Offers the loaded configuration, in slices, to every module; Nest itself reads neither files nor variables. */
@Module({})
export class ConfigModule {
  static forRoot(config: AppConfig): DynamicModule {
    const slices = (Object.keys(configTokens) as (keyof AppConfig)[]).map((name) => registerAs(name, () => config[name]));
    return {
      module: ConfigModule,
      imports: [NestConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true, skipProcessEnv: true, load: slices })],
    };
  }
}
