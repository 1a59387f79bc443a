import type { Request } from 'express';

const names = new WeakMap<Request, string>();

/** Whose request it is, by the name of the key that it came with; told by ApiKeyGuard. */
export function setKeyName(request: Request, name: string): void {
  names.set(request, name);
}

export function keyNameOf(request: Request): string | undefined {
  return names.get(request);
}
