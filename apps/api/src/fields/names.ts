const maxLength = 100;

/** A name that somebody sent, as messages tell it: not too long, and in quotes where it would not be seen. */
export function nameToShow(name: string): string {
  if (!/[^\s\p{C}]/u.test(name)) return JSON.stringify(name.slice(0, maxLength));
  return name.length > maxLength ? `${name.slice(0, maxLength)}…` : name;
}

export const repeatedFault = 'was sent more than once';
