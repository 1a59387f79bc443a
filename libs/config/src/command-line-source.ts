import { parseArgs, type ParseArgsConfig } from 'node:util';
import { ConfigSource } from './config-source.js';
import { explainUnknown, findSetting, nearestOf } from './setting-keys.js';

interface Option {
  name: string;
  /** The setting that it is short for. */
  key?: string;
  argument?: string;
  description: string;
}

export const options: readonly Option[] = [
  { name: 'config', argument: 'FILE', description: 'YAML file with settings, over the built-in ones' },
  { name: 'model', key: 'model.path', argument: 'DIR', description: "model folder in diffusers' layout" },
  { name: 'device', key: 'model.device', argument: 'DEVICE', description: 'auto, cpu, cuda or cuda:N' },
  { name: 'dtype', key: 'model.dtype', argument: 'DTYPE', description: 'auto, float32 or bfloat16' },
  { name: 'host', key: 'server.host', argument: 'HOST', description: 'address to listen on' },
  { name: 'port', key: 'server.port', argument: 'PORT', description: 'port to listen on; 0 = any free one' },
  { name: 'log-level', key: 'logging.level', argument: 'LEVEL', description: 'error, warn, info or debug' },
  { name: 'set', argument: 'KEY=VALUE', description: 'any setting of the table below; may be given many times' },
  { name: 'print-config', description: 'show the values that hold and where each came from, and end' },
  { name: 'check', description: 'look at the configuration and the model folder without loading it, and end' },
  { name: 'help', description: 'show this text' },
  { name: 'version', description: 'show the version' },
];

/** Options without a value: what is to be done instead of serving. */
const actions = ['help', 'version', 'print-config', 'check'] as const;
export type Action = (typeof actions)[number];

export interface CommandLine {
  asked: Set<Action>;
  configFile: string | undefined;
  source: ConfigSource;
}

export function readCommandLine(argv: readonly string[]): CommandLine {
  const result: CommandLine = { asked: new Set(), configFile: undefined, source: new ConfigSource() };
  const { faults } = result.source;
  let justRefused = false; // a word behind a refused option is most likely its value
  for (const token of tokensOf(argv)) {
    const before = faults.length;
    if (token.kind === 'option') readOption(result, token.name, token.rawName, token.value);
    else if (token.kind === 'positional' && !justRefused) {
      result.source.fault(token.value, 'command line', 'is no option; values belong behind one');
    }
    justRefused = token.kind === 'option' && faults.length > before;
  }
  return result;
}

// Not strict: parseArgs would stop at the first fault.
function tokensOf(argv: readonly string[]) {
  const known: NonNullable<ParseArgsConfig['options']> = {};
  for (const { name, argument } of options) known[name] = { type: argument ? 'string' : 'boolean' };
  known['help'] = { type: 'boolean', short: 'h' };
  return parseArgs({ args: [...argv], options: known, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function readOption(result: CommandLine, name: string, rawName: string, value: string | undefined): void {
  const { source } = result;
  const origin = `option ${rawName}`;
  const option = options.find((known) => known.name === name);
  if (!option) {
    const nearest = nearestOf(
      rawName,
      options.map((known) => `--${known.name}`),
    );
    source.fault(rawName, 'command line', `is no option${nearest ? `; did you mean ${nearest}?` : ''} (--help lists them)`);
  } else if (option.argument === undefined) {
    if (value !== undefined) source.fault(rawName, 'command line', `takes no value; got "${value}"`);
    else for (const action of actions) if (action === name) result.asked.add(action);
  } else if (value === undefined || value.startsWith('--')) {
    source.fault(rawName, 'command line', `needs a value: ${rawName} ${option.argument}`);
  } else if (name === 'config') {
    if (result.configFile !== undefined) source.fault(rawName, 'command line', 'is given twice');
    result.configFile = value;
  } else if (option.key !== undefined) {
    assign(source, option.key, value, origin);
  } else {
    const equals = value.indexOf('=');
    if (equals < 1) source.fault(rawName, 'command line', `must be KEY=VALUE; got "${value}"`);
    else assign(source, value.slice(0, equals), value.slice(equals + 1), origin);
  }
}

function assign(source: ConfigSource, key: string, text: string, origin: string): void {
  const setting = findSetting(key);
  if (!setting) source.fault(key, origin, explainUnknown(key));
  else if (source.entries.has(key)) source.fault(key, origin, 'is given twice on the command line');
  else source.setText(setting, text, origin);
}
