import type { DynamicModule, FactoryProvider } from '@nestjs/common';
import { EngineClient } from './engine.client.js';
import type { EngineLog } from './engine.log.js';
import type { EngineOptions } from './engine.process.js';

export interface EngineModuleOptions {
  options: EngineOptions;
  log: EngineLog;
}

export interface EngineModuleFactory {
  inject: NonNullable<FactoryProvider['inject']>;
  useFactory: (...dependencies: never[]) => EngineModuleOptions;
}

/** Provides EngineClient; whoever drains the queue decides when it starts and stops. */
// A dynamic module needs no decorator, and without one the engine host, which uses this library too, loads no Nest.
export class EngineModule {
  static forRoot({ inject, useFactory }: EngineModuleFactory): DynamicModule {
    return {
      module: EngineModule,
      global: true,
      providers: [
        {
          provide: EngineClient,
          inject,
          useFactory: (...dependencies: never[]) => {
            const { options, log } = useFactory(...dependencies);
            return new EngineClient(options, log);
          },
        },
      ],
      exports: [EngineClient],
    };
  }
}
