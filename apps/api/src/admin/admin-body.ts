import type { FieldFault } from '@app/inference';
import { got } from '../fields/field-rules.js';
import { invalidFields } from '../fields/invalid-fields.js';

export interface AdminField {
  /** Null: it is good; else what is allowed, without what came. */
  fault: (value: unknown) => string | null;
  required: boolean;
}

const maxShown = 100;

/** The fields of a small JSON body. @throws ServiceError INVALID_ARGUMENT with all that is wrong */
export function readAdminBody(body: unknown, fields: Readonly<Record<string, AdminField>>): Record<string, unknown> {
  const names = Object.keys(fields).join(', ');
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    const allowed = names === '' ? 'an empty JSON object' : `a JSON object with ${names}`;
    throw invalidFields([{ field: 'body', message: `must be ${allowed}` }]);
  }
  const given = new Map<string, unknown>(Object.entries(body));
  const faults: FieldFault[] = [];
  for (const [name, { fault, required }] of Object.entries(fields)) {
    const value = given.get(name);
    const found = value === undefined ? (required ? 'is required' : null) : fault(value);
    if (found !== null) faults.push({ field: name, message: value === undefined ? found : `${found}${got(value)}` });
  }
  const known = names === '' ? ', which has none' : `: ${names}`;
  for (const name of [...given.keys()].slice(0, maxShown)) {
    if (!Object.hasOwn(fields, name)) faults.push({ field: shortened(name), message: `is not a field of this route${known}` });
  }
  if (faults.length > 0) throw invalidFields(faults);
  return Object.fromEntries(given);
}

function shortened(text: string): string {
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text;
}
