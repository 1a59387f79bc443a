import type { Setting } from './settings.js';

export type SettingValue = string | number | boolean | null;

export type Checked = { ok: true; value: SettingValue } | { ok: false; message: string };

/** Text from a variable or an option: what YAML would have typed is typed by the setting's kind. */
export function checkText(setting: Setting, text: string): Checked {
  return check(setting, typed(setting, text));
}

/** A value from a YAML file, already typed: `"3000"` is no port there. */
export function check(setting: Setting, value: unknown): Checked {
  if (isAllowed(setting, value)) return { ok: true, value };
  const planned = setting.kind.type === 'choice' && setting.kind.planned?.some((name) => name === value);
  const got = `${JSON.stringify(value)}${planned ? ', which is not built yet' : ''}`;
  return { ok: false, message: `must be ${describeAllowed(setting)}; got ${got}` };
}

export function describeAllowed({ kind, whenNull }: Setting): string {
  const orNull = whenNull === undefined ? '' : ' or null';
  switch (kind.type) {
    case 'text':
      return kind.allowed + orNull;
    case 'integer':
      return [`an integer from ${kind.min} to ${kind.max}`, ...(kind.words ?? [])].join(' or ') + orNull;
    case 'boolean':
      return `true or false${orNull}`;
    case 'choice':
      return kind.choices.join(' | ') + orNull;
  }
}

function isAllowed({ kind, whenNull }: Setting, value: unknown): value is SettingValue {
  if (value === null) return whenNull !== undefined;
  switch (kind.type) {
    case 'text':
      return typeof value === 'string' && kind.pattern.test(value);
    case 'integer':
      if (typeof value === 'string') return kind.words?.includes(value) ?? false;
      return typeof value === 'number' && Number.isSafeInteger(value) && value >= kind.min && value <= kind.max;
    case 'boolean':
      return typeof value === 'boolean';
    case 'choice':
      return typeof value === 'string' && kind.choices.includes(value);
  }
}

function typed({ kind, whenNull }: Setting, text: string): SettingValue {
  if (text === 'null' && whenNull !== undefined) return null;
  if (kind.type === 'integer' && /^-?\d{1,16}$/.test(text)) return Number(text);
  if (kind.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}
