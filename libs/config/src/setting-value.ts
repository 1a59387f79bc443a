import { checkKeys, keysAllowed } from './api-keys.js';
import type { ApiKey } from './app-config.js';
import type { Setting, SettingKind } from './settings.js';

export type SettingValue = string | number | boolean | null | readonly string[] | readonly ApiKey[];

export type Checked = { ok: true; value: SettingValue } | { ok: false; message: string };

const plainUrl = /^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/;

/** Text from a variable or an option: what YAML would have typed is typed by the setting's kind. */
export function checkText(setting: Setting, text: string): Checked {
  return check(setting, text === 'null' && setting.whenNull !== undefined ? null : typed(setting.kind, text));
}

/** A value from a YAML file, already typed: `"3000"` is no port there. */
export function check(setting: Setting, value: unknown): Checked {
  const { kind, whenNull, secret } = setting;
  if (value === null && whenNull !== undefined) return { ok: true, value };
  // A path's file is read when it is known which of the sources wins.
  if (kind.type === 'keys' && !(typeof value === 'string' && isPath(value))) return checkKeys(value);
  if (isAllowed(kind, value)) return { ok: true, value: kind.type === 'url' ? baseUrl(value as string) : value };
  const planned = kind.type === 'choice' && kind.planned?.some((name) => name === value);
  const got = secret ? '' : `; got ${JSON.stringify(value)}${planned ? ', which is not built yet' : ''}`;
  return { ok: false, message: `must be ${describeAllowed(setting)}${got}` };
}

/** In ASCII, as headers must have it: a name in punycode, a path percent-encoded. No slash at its end. */
function baseUrl(text: string): string {
  return new URL(text).href.replace(/\/+$/, '');
}

export function describeAllowed({ kind, whenNull }: Setting): string {
  return `${describeKind(kind)}${whenNull === undefined ? '' : ' or null'}`;
}

function describeKind(kind: SettingKind): string {
  switch (kind.type) {
    case 'text':
      return kind.allowed;
    case 'url':
      return 'an http:// or https:// URL without user, query and fragment';
    case 'integer':
      return [`an integer from ${kind.min} to ${kind.max}`, ...(kind.words ?? [])].join(' or ');
    case 'number':
      return `a number from ${kind.min} to ${kind.max}`;
    case 'boolean':
      return 'true or false';
    case 'choice':
      return kind.choices.join(' | ');
    case 'list':
      return `a list of ${kind.allowed}`;
    case 'either':
      return kind.kinds.map(describeKind).join(' or ');
    case 'keys':
      return keysAllowed;
  }
}

function isAllowed(kind: SettingKind, value: unknown): value is SettingValue {
  switch (kind.type) {
    case 'text':
      return typeof value === 'string' && kind.pattern.test(value);
    case 'url':
      return typeof value === 'string' && plainUrl.test(value) && URL.canParse(value);
    case 'integer':
      if (typeof value === 'string') return kind.words?.includes(value) ?? false;
      return typeof value === 'number' && Number.isSafeInteger(value) && value >= kind.min && value <= kind.max;
    case 'number':
      return typeof value === 'number' && value >= kind.min && value <= kind.max;
    case 'boolean':
      return typeof value === 'boolean';
    case 'choice':
      return typeof value === 'string' && kind.choices.includes(value);
    case 'list':
      return Array.isArray(value) && value.every((item) => typeof item === 'string' && kind.isItem(item));
    case 'either':
      return kind.kinds.some((one) => isAllowed(one, value));
    case 'keys':
      return typeof value === 'string' && isPath(value);
  }
}

function typed(kind: SettingKind, text: string): unknown {
  switch (kind.type) {
    case 'integer':
      return /^-?\d{1,16}$/.test(text) ? Number(text) : text;
    case 'number':
      return /^-?(\d{1,9})?(\.\d{1,9})?$/.test(text) && /\d/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' || text === 'false' ? text === 'true' : text;
    case 'list':
    case 'keys':
      return text.startsWith('[') ? parsed(text) : text;
    case 'either':
      return kind.kinds.map((one) => typed(one, text)).find((value) => value !== text) ?? text;
    default:
      return text;
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** A list whose JSON is broken is no path either. */
function isPath(text: string): boolean {
  return /^[^\p{Cc}\p{Cs}[][^\p{Cc}\p{Cs}]*$/u.test(text);
}
