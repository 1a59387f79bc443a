import type { OpenAPIObject, SchemaObject } from '@nestjs/swagger';

type Schema = Omit<SchemaObject, 'type' | 'properties' | 'items' | 'anyOf' | 'exclusiveMinimum'> & {
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  exclusiveMinimum?: number;
};

export function schemaOf(document: OpenAPIObject, name: string): Schema {
  return (document.components?.schemas?.[name] ?? {}) as Schema;
}

/** The fields of a request: what may be sent. */
export function requestFields({ properties = {}, required = [] }: Schema): string[] {
  const rows = Object.entries(properties).map(([name, schema]) => [
    `\`${name}\``,
    typeText(schema),
    schema.default === undefined ? '' : `\`${JSON.stringify(schema.default)}\``,
    required.includes(name) ? 'yes' : '',
    schema.description ?? '',
  ]);
  return table(['field', 'type, range', 'default', 'required', ''], rows);
}

/** The fields of an answer. */
export function answerFields({ properties = {}, required = [] }: Schema): string[] {
  const rows = Object.entries(properties).map(([name, schema]) => {
    const absent = required.includes(name) ? '' : 'may be absent';
    return [`\`${name}\``, typeText(schema), [schema.description ?? '', absent].filter(Boolean).join('; ')];
  });
  return table(['field', 'type', ''], rows);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [head, head.map(() => '---'), ...rows.map((row) => row.map(cell))];
  return lines.map((row) => `| ${row.join(' | ')} |`);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

const formats = new Map([
  ['uuid', 'UUID'],
  ['byte', 'base64'],
]);

/** A type with its bounds, in words. */
export function typeText(schema: Schema): string {
  if (schema.$ref !== undefined) return objectLink(schema.$ref);
  if (schema.anyOf) return schema.anyOf.map(typeText).join(' or ');
  if (schema.enum) return (schema.enum as unknown[]).map((value) => `\`${String(value)}\``).join(', ');
  if (schema.type === 'array') return `list of ${typeText(schema.items ?? {})}`;
  if (schema.format === 'binary') return 'file';
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return `object of ${typeText(schema.additionalProperties as Schema)} by name`;
  }
  const type = typeof schema.type === 'string' ? schema.type : (schema.type ?? []).join(' or ');
  const format = formats.get(schema.format ?? '');
  return [format === undefined ? type : type.replace('string', `${format} string`), ...bounds(schema)].join(', ');
}

export function objectLink(reference: string): string {
  const name = reference.split('/').at(-1) ?? '';
  return `[${name}](#${name.toLowerCase()})`;
}

function bounds({ minimum, maximum, exclusiveMinimum, multipleOf, minLength, maxLength }: Schema): string[] {
  const from = minimum !== undefined ? `${minimum} to` : exclusiveMinimum !== undefined ? `above ${exclusiveMinimum} to` : null;
  const range =
    maximum !== undefined ? [`${from ?? 'at most'} ${maximum}`] : minimum !== undefined ? [`at least ${minimum}`] : [];
  const multiple = multipleOf === undefined ? [] : [`multiple of ${multipleOf}`];
  const characters = maxLength === undefined ? [] : [`${minLength ?? 0} to ${maxLength} characters`];
  return [...range, ...multiple, ...characters];
}
