/** Injection token of Software. */
export const SOFTWARE = Symbol('Software');

/** What this service calls itself. */
export interface Software {
  name: string;
  version: string;
}
