const maxChars = 100;

/** A name as an error tells it: a client's own text must not make an answer long. */
export function shortened(name: string): string {
  return name.length > maxChars ? `${name.slice(0, maxChars)}…` : name;
}
