import { ConfigService } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import { resolve } from 'node:path';
import { ConfigModule, configTokens } from './config.module.js';
import { loadConfig } from './load-config.js';

describe('ConfigModule', () => {
  it('offers every slice by its token, and no environment variable', async () => {
    const loaded = loadConfig({ argv: ['--port', '4321'], env: {}, cwd: '/', projectRoot: resolve(__dirname, '../../..') });
    if (loaded.kind !== 'config') throw new Error(loaded.kind);
    const module = await Test.createTestingModule({ imports: [ConfigModule.forRoot(loaded.config)] }).compile();
    for (const [name, token] of Object.entries(configTokens)) {
      expect(module.get(token, { strict: false })).toEqual(loaded.config[name as keyof typeof configTokens]);
    }
    const service = module.get(ConfigService, { strict: false });
    expect(service.get('server.port')).toBe(4321);
    expect(service.get('PATH')).toBeUndefined();
  });
});
