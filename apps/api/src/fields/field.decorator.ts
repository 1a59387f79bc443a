import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { registerDecorator, type ValidationArguments } from 'class-validator';
import type { FieldContext, FieldRule, Fields } from './field-rules.js';

export interface FieldOptions {
  rule: FieldRule;
  required?: boolean;
  /** A field that must come when this one does. */
  pairedWith?: string;
}

interface Validated {
  context: FieldContext;
  fields: Fields;
}

const fieldsOfClass = new WeakMap<object, Map<string, FieldOptions>>();
const validated = new WeakMap<object, Validated>();

/** A field of a request: its rule for class-validator, its place in the OpenAPI document. */
export function Field(options: FieldOptions, schema: ApiPropertyOptions): PropertyDecorator {
  return (target, property) => {
    const name = String(property);
    const own = fieldsOfClass.get(target.constructor) ?? new Map<string, FieldOptions>();
    fieldsOfClass.set(target.constructor, own.set(name, options));
    ApiProperty({ ...schema, required: options.required ?? false } as ApiPropertyOptions)(target, property);

    const fault = ({ object, value }: ValidationArguments) => faultOf(value, options, validated.get(object));
    registerDecorator({
      name: 'field',
      target: target.constructor,
      propertyName: name,
      validator: {
        validate: (_value, given) => given !== undefined && fault(given) === null,
        defaultMessage: (given) => (given && fault(given)) ?? '',
      },
    });
  };
}

/** Fields of a DTO class and of those it extends, by name. */
export function fieldsOf(dto: object): ReadonlyMap<string, FieldOptions> {
  const parent: unknown = Object.getPrototypeOf(dto);
  const inherited = typeof parent === 'function' ? fieldsOf(parent) : new Map<string, FieldOptions>();
  return new Map([...inherited, ...(fieldsOfClass.get(dto) ?? [])]);
}

/** What the rules of `dto` are told when it is validated: limits are not known where classes are declared. */
export function setContext(dto: object, context: FieldContext): void {
  validated.set(dto, { context, fields: { ...dto } });
}

function faultOf(value: unknown, { rule, required, pairedWith }: FieldOptions, given: Validated | undefined): string | null {
  if (!given) throw new Error('setContext comes before validate');
  const { context, fields } = given;
  if (value !== undefined) return rule.check(value, context, fields);
  if (required) return 'is required';
  return pairedWith !== undefined && fields[pairedWith] !== undefined ? `must be given together with ${pairedWith}` : null;
}
