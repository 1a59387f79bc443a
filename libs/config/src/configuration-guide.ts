import { options } from './command-line-source.js';
import type { Entry } from './config-source.js';
import { defaultText } from './help-text.js';
import { variableName } from './setting-keys.js';
import { describeAllowed } from './setting-value.js';
import { settings, type Setting } from './settings.js';

type Defaults = ReadonlyMap<string, Entry>;

/** docs/configuration.md: a spec holds the file equal to this. */
export function configurationGuide(defaults: Defaults): string {
  return [
    '# Configuration',
    '',
    '<!-- Made from the table of settings by `npm run docs`; changes belong into libs/config/src. -->',
    '',
    'Every setting has a default in [config/default.yaml](../config/default.yaml) and one name in three spellings. Command line wins over',
    'environment, environment over file, file over the defaults.',
    '',
    '| where | how |',
    '|---|---|',
    '| command line | `npm start -- --set rateLimit.limit=30`; in lists and objects JSON: `--set \'server.corsOrigins=["https://a.example"]\'` |',
    '| environment | `QWEN_RATE_LIMIT_LIMIT=30`, see [.env.example](../.env.example) |',
    '| a YAML file | `npm start -- --config my.yaml`, with `rateLimit: { limit: 30 }` in it |',
    '',
    'A wrong key or value stops the start; all faults are told together, each with where it came from, what came and what is allowed.',
    '`npm start -- --print-config` shows the values that hold and where each came from (secrets are not shown); `npm start -- --check` looks at',
    'the configuration and at the model folder without loading it, and exits with 0 or 1.',
    '',
    'Sizes are bytes, durations milliseconds. A relative path begins in the folder where the server is started, a default one in the',
    "project's folder. `null` is a value: the one that the column says.",
    '',
    '## Command line',
    '',
    '| option | |',
    '|---|---|',
    ...options.map(({ name, argument, key, description }) => {
      const spelt = `--${name}${argument ? ` ${argument}` : ''}`;
      return `| \`${spelt}\` | ${description}${key ? ` (\`${key}\`)` : ''} |`;
    }),
    ...groups().flatMap(([group, members]) => ['', `## ${group}`, '', ...groupTable(members, defaults)]),
    '',
  ].join('\n');
}

/** .env.example: every variable with its default, commented out. */
export function environmentExample(defaults: Defaults): string {
  return [
    '# Every setting as an environment variable, with its default. Made by `npm run docs`; docs/configuration.md says more.',
    '# The server reads its environment, not this file: docker compose (env_file), systemd (EnvironmentFile) or',
    '# `set -a; . ./.env; set +a` bring it there.',
    ...settings.flatMap((setting) => [
      '',
      `# ${setting.description} (${describeAllowed(setting)})`,
      `#${variableName(setting.key)}=${valueText(setting, defaults)}`,
    ]),
    '',
  ].join('\n');
}

function groupTable(members: readonly Setting[], defaults: Defaults): string[] {
  const rows = members.map((setting) =>
    [
      `\`${setting.key}\``,
      code(defaultText(defaults.get(setting.key)?.value ?? null)),
      setting.whenNull ?? '',
      describeAllowed(setting),
      setting.description,
      `\`${variableName(setting.key)}\``,
    ]
      .map(cell)
      .join(' | '),
  );
  return [
    '| setting | default | `null` means | allowed | what for | variable |',
    '|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${row} |`),
  ];
}

function groups(): [string, Setting[]][] {
  const found = new Map<string, Setting[]>();
  for (const setting of settings) {
    const [group = ''] = setting.key.split('.');
    found.set(group, [...(found.get(group) ?? []), setting]);
  }
  return [...found];
}

function valueText({ key }: Setting, defaults: Defaults): string {
  return defaultText(defaults.get(key)?.value ?? null);
}

function code(text: string): string {
  return `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
