import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadConfig } from './load-config.js';
import { settings } from './settings.js';

const projectRoot = resolve(__dirname, '../../..');
const key = 'ab'.repeat(32);

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'qwen-print-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function printed(argv: string[], env: Record<string, string> = {}): string {
  const loaded = loadConfig({ argv: [...argv, '--print-config'], env, cwd: folder, projectRoot });
  if (loaded.kind !== 'print-config') throw new Error(loaded.kind);
  return loaded.text;
}

describe('--print-config', () => {
  it('tells each value and where it came from', () => {
    writeFileSync(join(folder, 'my.yaml'), 'limits:\n  maxSteps: 50\n');
    const lines = printed(['--config', 'my.yaml', '--port', '0', '--set', 'server.host=::1'], { QWEN_MODEL_THREADS: '2' }).split(
      '\n',
    );
    expect(lines).toEqual(
      expect.arrayContaining([
        '  port: 0 # option --port',
        '  host: "::1" # option --set',
        '  threads: 2 # variable QWEN_MODEL_THREADS',
        '  maxSteps: 50 # my.yaml:2',
        expect.stringMatching(/^ {2}maxImages: 4 # config\/default\.yaml:\d+$/),
        expect.stringMatching(/^ {2}name: demo # config\/default\.yaml:\d+: null$/),
      ]),
    );
    expect(lines.filter((line) => line.startsWith('  '))).toHaveLength(settings.length);
  });

  it('is a configuration file that gives the same again', () => {
    writeFileSync(
      join(folder, 'again.yaml'),
      printed(['--set', 'server.corsOrigins=["https://a.example"]', '--dtype', 'float32']),
    );
    const load = (...argv: string[]) => {
      const loaded = loadConfig({ argv, env: {}, cwd: folder, projectRoot });
      if (loaded.kind !== 'config') throw new Error(loaded.kind);
      return loaded.config;
    };
    expect(load('--config', 'again.yaml')).toEqual(
      load('--set', 'server.corsOrigins=["https://a.example"]', '--dtype', 'float32'),
    );
  });

  it('shows no secret', () => {
    const keys = JSON.stringify([{ name: 'alice', sha256: key }]);
    const text = printed(['--set', `auth.keys=${keys}`], { QWEN_REDIS_URL: 'redis://user:pass@host' });
    expect(text).not.toMatch(/abab|pass|alice/);
    expect(text).toContain('  keys: (secret) # option --set');
    expect(text).toContain('  url: (secret) # variable QWEN_REDIS_URL');
    expect(printed([])).toMatch(/ {2}url: null #/);
  });
});
