import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { configurationGuide, environmentExample } from './configuration-guide.js';
import { loadConfig, loadDefaults } from './load-config.js';
import { variableName } from './setting-keys.js';
import { settings } from './settings.js';

const projectRoot = resolve(__dirname, '../../..');
const { entries } = loadDefaults(projectRoot);
const fileOf = (name: string) => readFileSync(join(projectRoot, name), 'utf8');

describe('what is made from the table of settings', () => {
  it('is docs/configuration.md as it stands (else: npm run docs)', () => {
    expect(fileOf('docs/configuration.md')).toBe(configurationGuide(entries));
  });

  it('is .env.example as it stands (else: npm run docs)', () => {
    expect(fileOf('.env.example')).toBe(environmentExample(entries));
  });

  it('tells of every setting once', () => {
    for (const { key } of settings) {
      expect(configurationGuide(entries).split(`| \`${key}\` |`)).toHaveLength(2);
      expect(environmentExample(entries).split(`#${variableName(key)}=`)).toHaveLength(2);
    }
  });

  it('is an environment that changes nothing when it is taken as it stands', () => {
    const lines = environmentExample(entries).split('\n');
    const pairs = lines
      .filter((line) => line.startsWith('#QWEN_'))
      .map((line) => /^#([A-Z_\d]+)=(.*)$/.exec(line)?.slice(1) ?? []);
    // A path that somebody gives begins where the server is started.
    const load = (env: Record<string, string>) => loadConfig({ argv: [], env, cwd: projectRoot, projectRoot });
    const [given, plain] = [load(Object.fromEntries(pairs) as Record<string, string>), load({})];
    if (given.kind !== 'config' || plain.kind !== 'config') throw new Error('no configuration');
    expect(given.config).toEqual(plain.config);
  });
});
