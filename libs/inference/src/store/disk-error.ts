// By their fields, not their class: errors of Node's own modules have another realm's under some test runners and in vm contexts.

/** As the system spells it, ENOSPC; undefined for an error that it did not give. */
export function codeOf(error: unknown): unknown {
  return isObject(error) ? error['code'] : undefined;
}

export function messageOf(error: unknown): string {
  return isObject(error) && typeof error['message'] === 'string' ? error['message'] : String(error);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
