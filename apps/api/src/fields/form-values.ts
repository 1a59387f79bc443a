import type { FieldKind } from './field-rules.js';

const spellings: Readonly<Record<Exclude<FieldKind, 'text' | 'choice'>, RegExp>> = {
  integer: /^-?\d+$/,
  number: /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i,
  boolean: /^(true|false)$/,
};

/** A form's text as what the field holds; text that is nothing of the kind stays text, for the field's rule to refuse. */
export function formValue(text: unknown, kind: FieldKind): unknown {
  if (typeof text !== 'string' || kind === 'text' || kind === 'choice' || !spellings[kind].test(text)) return text;
  if (kind === 'boolean') return text === 'true';
  // Digits that a number cannot hold stay text too, so that no rounded value is taken or shown.
  const value = Number(text);
  return kind === 'integer' && !Number.isSafeInteger(value) ? text : value;
}
