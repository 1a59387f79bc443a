import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readKeyFile } from './api-keys.js';
import type { AppConfig } from './app-config.js';
import { readCommandLine } from './command-line-source.js';
import type { ConfigSource, Entry } from './config-source.js';
import { ConfigError, type ConfigFault } from './config.error.js';
import { crossCheck } from './cross-checks.js';
import { readEnvironmentSource } from './environment-source.js';
import { helpText } from './help-text.js';
import { printConfig } from './print-config.js';
import { readYamlSource } from './yaml-source.js';

export interface ConfigInput {
  /** Arguments behind the script's name. */
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Where relative paths that a person gave begin. */
  cwd: string;
  /** Folder of package.json: where config/default.yaml and the default model are. */
  projectRoot: string;
  /** Chooses the log's form when nobody did. */
  isTerminal?: boolean;
}

export type LoadedConfig =
  | { kind: 'config'; config: AppConfig; /** Where each value came from, by key. */ origins: ReadonlyMap<string, string> }
  /** Nothing is to be served: the model folder is to be looked at. */
  | { kind: 'check'; config: AppConfig }
  | { kind: 'help' | 'version' | 'print-config'; text: string };

type Entries = ReadonlyMap<string, Entry>;

/**
 * Command line over environment over file over config/default.yaml.
 * @throws ConfigError with everything that is wrong, in any of them
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const defaults = loadDefaults(input.projectRoot);
  const commandLine = readCommandLine(input.argv);
  const { asked } = commandLine;
  if (asked.has('help')) return { kind: 'help', text: helpText(defaults.entries) };
  if (asked.has('version')) return { kind: 'version', text: `qwen-image-server ${projectVersion(input.projectRoot)}\n` };

  const { configFile } = commandLine;
  const files = configFile === undefined ? [] : [readYamlSource(resolve(input.cwd, configFile), configFile)];
  const sources = [defaults, ...files, readEnvironmentSource(input.env), commandLine.source];
  const entries = new Map(sources.flatMap((source) => [...source.entries]));
  const faults = sources.flatMap((source) => source.faults);
  faults.push(...readKeys(entries, input.cwd), ...checkModelRoot(entries, input.cwd), ...crossCheck(entries, defaults.entries));
  if (faults.length > 0) throw new ConfigError(faults);

  const resolved = resolveDefaults(entries, defaults.entries, input);
  if (asked.has('print-config')) return { kind: 'print-config', text: printConfig(entries, resolved) };
  const config = assemble(resolved);
  if (asked.has('check')) return { kind: 'check', config };
  const origins = new Map([...entries].map(([key, { origin }]) => [key, origin]));
  return { kind: 'config', config, origins };
}

export function loadDefaults(projectRoot: string): ConfigSource {
  return readYamlSource(join(projectRoot, 'config/default.yaml'), 'config/default.yaml');
}

function projectVersion(projectRoot: string): string {
  return (JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string }).version;
}

/** Puts the keys themselves in the place of the path of their file. */
function readKeys(entries: Map<string, Entry>, cwd: string): ConfigFault[] {
  const entry = entries.get('auth.keys');
  if (typeof entry?.value !== 'string') return [];
  const checked = readKeyFile(resolve(cwd, entry.value));
  if (!checked.ok) return [{ key: 'auth.keys', origin: entry.origin, message: `${entry.value} ${checked.message}` }];
  entries.set('auth.keys', { ...entry, value: checked.value });
  return [];
}

/** What an operator could load nothing from is told now, not to the first who tries. */
function checkModelRoot(entries: Entries, cwd: string): ConfigFault[] {
  const { value, origin = '' } = entries.get('model.root') ?? {};
  if (typeof value !== 'string') return [];
  try {
    readdirSync(resolve(cwd, value));
    return [];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = `must be the path of a folder; ${value} ${code === 'ENOTDIR' ? 'is none' : `cannot be read: ${String(code)}`}`;
    return [{ key: 'model.root', origin, message }];
  }
}

/** Fills in what depends on the machine, the folders or another setting. */
function resolveDefaults(entries: Entries, defaults: Entries, input: ConfigInput): Map<string, unknown> {
  const values = new Map<string, unknown>([...entries].map(([key, { value }]) => [key, value]));
  for (const key of ['model.path', 'jobs.directory']) {
    const isDefault = entries.get(key) === defaults.get(key);
    values.set(key, resolve(isDefault ? input.projectRoot : input.cwd, values.get(key) as string));
  }
  const root = values.get('model.root');
  if (typeof root === 'string') values.set('model.root', resolve(input.cwd, root));
  const folder = values.get('model.path') as string;
  values.set('model.name', values.get('model.name') ?? (basename(folder) || 'model'));
  values.set('logging.format', values.get('logging.format') ?? (input.isTerminal ? 'pretty' : 'json'));
  return values;
}

/** `limits.minSide` → `{ limits: { minSide } }`, frozen. The table of settings is AppConfig's shape; a spec holds them equal. */
function assemble(values: ReadonlyMap<string, unknown>): AppConfig {
  const groups = new Map<string, Map<string, unknown>>();
  for (const [key, value] of values) {
    const [group = '', name = ''] = key.split('.');
    groups.set(group, (groups.get(group) ?? new Map<string, unknown>()).set(name, value));
  }
  const slices = [...groups].map(([group, members]) => [group, Object.freeze(Object.fromEntries(members))] as const);
  return Object.freeze(Object.fromEntries(slices)) as unknown as AppConfig;
}
