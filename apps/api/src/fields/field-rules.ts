import type { LimitsConfig, QueueConfig } from '@app/config';
import type { ModelInfo } from '@app/engine';
import type { ImageFormat } from '@app/image-processing';

/** What the rules need to know of the loaded model. */
export type FieldModel = Pick<ModelInfo, 'sizeMultiple' | 'minSteps' | 'refusedTokens' | 'defaults'>;

/** What a field's value is held against, beside the value itself. */
export interface FieldContext {
  limits: LimitsConfig;
  queue: Pick<QueueConfig, 'timeoutMs'>;
  /** Null: none is loaded, and nothing is drawn; a job that is there may be asked for again. */
  model: FieldModel | null;
  /** What Accept asks for: image bytes instead of JSON, and the format when the fields name none. */
  answer: { bytes: boolean; format: ImageFormat };
  /** Somebody may follow the job: it is not waited for on a connection, or has a key with which it is asked for again. */
  async: boolean;
}

/** The fields as they came, known names only; any of them may be wrong. */
export type Fields = Readonly<Record<string, unknown>>;

export type FieldKind = 'text' | 'integer' | 'number' | 'boolean' | 'choice';

/** What is wrong, in words that follow the field's name; null when nothing is. */
export type FieldCheck<T = unknown> = (value: T, context: FieldContext, fields: Fields) => string | null;

/** Bounds as the OpenAPI document writes them. */
export interface SchemaBounds {
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
}

export interface FieldRule {
  kind: FieldKind;
  check: FieldCheck;
  schema(context: FieldContext): SchemaBounds;
}

/** What holds beside a field's own rule; its check sees values that the rule has let through. */
export interface ExtraRule<T> {
  check: FieldCheck<T>;
  schema?(context: FieldContext): SchemaBounds;
}

export type Bound = number | ((context: FieldContext, fields: Fields) => number);

function boundOf(bound: Bound, context: FieldContext, fields: Fields = {}): number {
  return typeof bound === 'number' ? bound : bound(context, fields);
}

/** A value as a message shows it. A number that JSON may have rounded is not shown: it is not what was sent. */
export function got(value: unknown): string {
  if (typeof value === 'number')
    return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? `, got ${value}` : '';
  if (typeof value === 'string') return `, got ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (Array.isArray(value)) return ', got a list';
  return typeof value === 'object' && value !== null ? ', got an object' : `, got ${String(value)}`;
}

export function integer(min: Bound, max: Bound): FieldRule {
  return {
    kind: 'integer',
    check: (value, context, fields) => {
      const [from, to] = [boundOf(min, context, fields), boundOf(max, context, fields)];
      const holds = Number.isSafeInteger(value) && Number(value) >= from && Number(value) <= to;
      return holds ? null : `must be an integer from ${from} to ${to}${got(value)}`;
    },
    schema: (context) => ({ minimum: boundOf(min, context), maximum: boundOf(max, context) }),
  };
}

export function number(min: number, max: number): FieldRule {
  return {
    kind: 'number',
    check: (value) =>
      typeof value === 'number' && value >= min && value <= max ? null : `must be a number from ${min} to ${max}${got(value)}`,
    schema: () => ({ minimum: min, maximum: max }),
  };
}

/** 0 < value <= max */
export function positiveNumber(max: number): FieldRule {
  return {
    kind: 'number',
    check: (value) =>
      typeof value === 'number' && value > 0 && value <= max ? null : `must be a number above 0 and at most ${max}${got(value)}`,
    schema: () => ({ exclusiveMinimum: 0, maximum: max }),
  };
}

export function text(min: number, max: Bound): FieldRule {
  return {
    kind: 'text',
    check: (value, context, fields) => {
      const to = boundOf(max, context, fields);
      if (typeof value !== 'string') return `must be a string${got(value)}`;
      if (/\p{Surrogate}/u.test(value)) return 'must be well-formed Unicode: it holds half of a surrogate pair';
      const characters = Array.from(value).length;
      return characters >= min && characters <= to ? null : `must have ${min} to ${to} characters, has ${characters}`;
    },
    schema: (context) => ({ minLength: min, maxLength: boundOf(max, context) }),
  };
}

export function boolean(): FieldRule {
  return {
    kind: 'boolean',
    check: (value) => (typeof value === 'boolean' ? null : `must be true or false${got(value)}`),
    schema: () => ({}),
  };
}

export function choice(...choices: readonly string[]): FieldRule {
  return {
    kind: 'choice',
    check: (value) => (choices.includes(value as string) ? null : `must be one of ${choices.join(', ')}${got(value)}`),
    schema: () => ({}),
  };
}

/** The rule, and when it holds this one too. */
export function also<T>(rule: FieldRule, extra: ExtraRule<T>): FieldRule {
  return {
    kind: rule.kind,
    check: (value, context, fields) => rule.check(value, context, fields) ?? extra.check(value as T, context, fields),
    schema: (context) => ({ ...rule.schema(context), ...extra.schema?.(context) }),
  };
}
