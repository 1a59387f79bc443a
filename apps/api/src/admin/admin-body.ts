import type { FieldFault } from '@app/inference';
import { got } from '../fields/field-rules.js';
import { invalidFields } from '../fields/invalid-fields.js';
import { nameToShow, repeatedFault } from '../fields/names.js';
import type { JsonBody } from '../images/json-body.interceptor.js';

export interface AdminField {
  /** Null: it is good; else what is allowed, without what came. */
  fault: (value: unknown) => string | null;
  required: boolean;
}

const maxShown = 100;

/** The fields of a small JSON body. @throws ServiceError INVALID_ARGUMENT with all that is wrong */
export function readAdminBody(
  { values, source }: JsonBody,
  fields: Readonly<Record<string, AdminField>>,
): Record<string, unknown> {
  const names = Object.keys(fields).join(', ');
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    const allowed = names === '' ? 'an empty JSON object' : `a JSON object with ${names}`;
    throw invalidFields([{ field: 'body', message: `must be ${allowed}` }]);
  }
  const given = new Map<string, unknown>(Object.entries(values));
  const faults: FieldFault[] = [];
  for (const [name, { fault, required }] of Object.entries(fields)) {
    const value = given.get(name);
    const message = source.repeated.has(name) ? repeatedFault : faultOf(value, fault, required);
    if (message !== null) faults.push({ field: name, message });
  }
  const known = names === '' ? ', which has none' : `: ${names}`;
  for (const name of [...given.keys()].slice(0, maxShown)) {
    if (!Object.hasOwn(fields, name)) faults.push({ field: nameToShow(name), message: `is not a field of this route${known}` });
  }
  if (faults.length > 0) throw invalidFields(faults);
  return Object.fromEntries(given);
}

function faultOf(value: unknown, fault: AdminField['fault'], required: boolean): string | null {
  if (value === undefined) return required ? 'is required' : null;
  const found = fault(value);
  return found === null ? null : `${found}${got(value)}`;
}
