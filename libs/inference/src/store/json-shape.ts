/** What is wrong with a value that was read as JSON, by its path; null when nothing is. The value itself is not told: it may be a prompt. */
export type Check = (value: unknown, path: string) => string | null;

export const string = is('a string', (value) => typeof value === 'string');
export const boolean = is('true or false', (value) => typeof value === 'boolean');
export const number = is('a number', (value) => typeof value === 'number' && Number.isFinite(value));
export const whole = is('a whole number from 0', (value) => Number.isSafeInteger(value) && Number(value) >= 0);
export const object = is('an object', isObject);

export function upTo(max: number): Check {
  return is(
    `a whole number from 0 to ${max}`,
    (value) => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= max,
  );
}

export function oneOf(allowed: readonly unknown[]): Check {
  return is(`one of ${allowed.join(', ')}`, (value) => allowed.includes(value));
}

export function nullOr(check: Check): Check {
  return (value, path) => (value === null ? null : check(value, path));
}

export function arrayOf(check: Check): Check {
  return (value, path) =>
    Array.isArray(value)
      ? firstFault(value.map((item, index) => [check, item, `${path}[${index}]`]))
      : `${path} must be an array`;
}

/** A check of every field of `T`: one that is added there must be added here. */
export type Fields<T> = { [K in keyof T]-?: Check };

export function shape(fields: Readonly<Record<string, Check>>): Check {
  const checks = Object.entries(fields);
  return (value, path) =>
    isObject(value)
      ? firstFault(checks.map(([name, check]) => [check, value[name], path === '' ? name : `${path}.${name}`]))
      : object(value, path);
}

function is(what: string, test: (value: unknown) => boolean): Check {
  return (value, path) => (test(value) ? null : `${path} must be ${what}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function firstFault(checks: readonly [check: Check, value: unknown, path: string][]): string | null {
  for (const [check, value, path] of checks) {
    const fault = check(value, path);
    if (fault !== null) return fault;
  }
  return null;
}
