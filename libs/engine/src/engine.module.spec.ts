import { Test } from '@nestjs/testing';
import { EngineClient } from './engine.client.js';
import { EngineModule } from './engine.module.js';

describe(EngineModule.name, () => {
  it('offers one client, made from what is injected and not yet started', async () => {
    const useFactory = jest.fn((folder: string) => ({
      options: {
        host: { path: '/nowhere/main.js' },
        model: { name: 'x', folder },
        load: {
          device: 'cpu',
          dtype: 'auto',
          threads: 'auto',
          residency: 'resident',
          vaeTiling: 'auto',
          memoryBudget: null,
        } as const,
        specialTokens: 'allow' as const,
        watchdog: { hangMs: 60_000, stageFactor: 10 },
      },
      log: { log: () => undefined },
    }));
    const settings = {
      module: class Settings {},
      global: true,
      providers: [{ provide: 'folder', useValue: '/models/x' }],
      exports: ['folder'],
    };
    const module = await Test.createTestingModule({
      imports: [settings, EngineModule.forRoot({ inject: ['folder'], useFactory })],
    }).compile();

    expect(useFactory.mock.calls).toEqual([['/models/x']]);
    expect(module.get(EngineClient).status()).toMatchObject({ state: 'starting', restarts: 0 });
    expect(module.get(EngineClient)).toBe(module.get(EngineClient, { strict: false }));
    await module.close();
  });
});
