import { options } from './command-line-source.js';
import type { Entry } from './config-source.js';
import { describeAllowed, type SettingValue } from './setting-value.js';
import { settings } from './settings.js';

export function helpText(defaults: ReadonlyMap<string, Entry>): string {
  const optionRows = options.map(({ name, argument, description }) => [
    `${name === 'help' ? '-h, ' : ''}--${name}${argument ? ` ${argument}` : ''}`,
    description,
  ]);
  const settingRows = settings.map((setting) => [
    setting.key,
    defaults.get(setting.key)?.value === null ? (setting.whenNull ?? '') : defaultText(defaults.get(setting.key)?.value ?? null),
    `${setting.description} (${describeAllowed(setting)})`,
  ]);
  return [
    'qwen-image-server: draws pictures with Qwen-Image models over HTTP.',
    '',
    'Usage: npm start -- [options]',
    '',
    ...columns(optionRows),
    '',
    'Settings, with their defaults. Each has three spellings: server.port in the YAML file of --config,',
    'QWEN_SERVER_PORT in the environment (model.vaeTiling is QWEN_MODEL_VAE_TILING) and --set server.port=8080',
    'on the command line. Command line wins over environment, environment over file.',
    '',
    ...columns(settingRows),
    '',
    'Set-up reads LIBTORCH_DIR (a libtorch that is already here) and LIBTORCH_VARIANT (auto, cpu or cu130).',
    '',
  ].join('\n');
}

/** As it is written in the environment and behind --set. */
export function defaultText(value: SettingValue): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function columns(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}
