import fc, { type Arbitrary } from 'fast-check';
import type { ApiDocument, Schema } from './document.js';
import { plainPrompt, rightValue } from './values.js';

/** What must become of a request: nothing is known of most. */
export type Expectation =
  | { kind: 'any' }
  /** Right in all that the contract says: it is drawn, unless the queue is full. */
  | { kind: 'drawn' }
  /** 400, and each of these fields is named. */
  | { kind: 'refused'; fields: readonly string[] };

/** A body before it is sent. */
export interface Draft {
  contentType: string | null;
  body: Buffer;
  expects: Expectation;
}

export type Fields = readonly (readonly [name: string, value: unknown])[];

export const anything: Expectation = { kind: 'any' };

export function refused(...fields: string[]): Expectation {
  return { kind: 'refused', fields };
}

/** Asks for pictures: whatever else is in it, it is given a size and steps that cost next to nothing. */
export function isDrawing({ properties = {} }: Schema): boolean {
  return ['prompt', 'width', 'height', 'num_inference_steps'].every((name) => Object.hasOwn(properties, name));
}

export function isFile({ format, items }: Schema): boolean {
  return format === 'binary' || items?.format === 'binary';
}

/** One of these or none; quality goes with the formats that have one. */
const outputs: Arbitrary<Fields> = fc.oneof(
  fc.constant<Fields>([]),
  fc.constant<Fields>([['output_format', 'png']]),
  fc.tuple(fc.constantFrom('jpeg', 'webp'), fc.integer({ min: 1, max: 100 })).map(([format, quality]): Fields => [
    ['output_format', format],
    ['output_quality', quality],
  ]),
);

const choices: Readonly<Record<string, Arbitrary<unknown>>> = {
  negative_prompt: plainPrompt,
  true_cfg_scale: fc.oneof(fc.constantFrom(1, 20), fc.double({ min: 1, max: 20, noNaN: true })),
  seed: fc.oneof(
    fc.constantFrom(0, Number.MAX_SAFE_INTEGER - 3),
    fc.maxSafeNat().map((seed) => Math.max(0, seed - 3)),
  ),
  num_images: fc.constantFrom(1, 1, 1, 2),
  max_sequence_length: fc.integer({ min: 1, max: 1024 }),
  output_metadata: fc.boolean(),
  strength: fc.double({ min: 0.01, max: 1, noNaN: true }),
};

/** Fields that the contract allows together. Of those that this file does not know only the required ones are given. */
export function soundFields(document: ApiDocument, schema: Schema): Arbitrary<Fields> {
  const { properties = {}, required = [] } = schema;
  const has = (name: string) => Object.hasOwn(properties, name);
  if (!isDrawing(schema)) {
    const fields = Object.entries(properties).filter(([, property]) => !isFile(property));
    const values = Object.fromEntries(fields.map(([name, property]) => [name, rightValue(document, property)]));
    return fc.record(values, { requiredKeys: required.filter((name) => Object.hasOwn(values, name)) }).map(Object.entries);
  }
  const { width = {}, num_inference_steps: steps = {} } = properties;
  const fixed = {
    prompt: plainPrompt,
    width: fc.constant(width.minimum ?? 32),
    height: fc.constant(width.minimum ?? 32),
    num_inference_steps: fc.integer({ min: Math.max(2, steps.minimum ?? 2), max: 4 }),
  };
  const unknown = required.filter((name) => !Object.hasOwn(fixed, name) && !isFile(properties[name] ?? {}));
  const rest = Object.fromEntries(unknown.map((name) => [name, rightValue(document, properties[name] ?? {})]));
  const optional = Object.fromEntries(Object.entries(choices).filter(([name]) => has(name)));
  const chosen = fc.record(optional, { requiredKeys: [] });
  return fc
    .tuple(fc.record({ ...fixed, ...rest }), chosen, outputs)
    .map(([base, extra, output]) => [...Object.entries(base), ...Object.entries(extra), ...output]);
}

/** That they are drawn is only sure of fields which this file knows to go together. */
export function soundExpectation({ properties = {}, required = [], ...schema }: Schema): Expectation {
  const known = ['prompt', 'width', 'height', 'num_inference_steps', 'image'];
  return isDrawing({ ...schema, properties }) && required.every((name) => known.includes(name)) ? { kind: 'drawn' } : anything;
}

/** Properties that hold less than any value, and so can be given a wrong one. */
export function boundProperties(document: ApiDocument, { properties = {} }: Schema): [string, Schema][] {
  return Object.entries(properties).filter(([, property]) => {
    const { type, enum: values, anyOf, oneOf } = document.resolve(property);
    return !isFile(property) && (type !== undefined || values !== undefined || anyOf !== undefined || oneOf !== undefined);
  });
}
