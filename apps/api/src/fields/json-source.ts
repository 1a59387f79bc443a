/** What JSON.parse leaves out of the members of an object. */
export interface JsonSource {
  /** Names that come more than once; JSON.parse keeps the last value of each. */
  repeated: ReadonlySet<string>;
  /** Numbers as they were written; JSON.parse keeps the nearest one that it can hold. */
  numbers: ReadonlyMap<string, string>;
}

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/gs;

/** Reads the outermost object of a text that JSON.parse takes. */
export function readJsonSource(text: string): JsonSource {
  const [repeated, names, numbers] = [new Set<string>(), new Set<string>(), new Map<string, string>()];
  let depth = 0;
  let name: string | null = null;
  for (const [part] of text.matchAll(token)) {
    if (part === '{' || part === '[') depth += 1;
    else if (part === '}' || part === ']') depth -= 1;
    else if (depth !== 1) continue;
    else if (part === ',') name = null;
    else if (name === null) {
      name = JSON.parse(part) as string;
      if (names.has(name)) repeated.add(name);
      names.add(name);
    } else if (/^[-\d]/.test(part)) numbers.set(name, part);
  }
  return { repeated, numbers };
}

/** Digits that a double holds whatever they are. */
const sureDigits = 15;

/** Whether JSON.parse may have made an integer of a number that is none, or another one. Whole numbers show it by their size. */
export function losesDigits(written: string): boolean {
  if (/^-?\d+$/.test(written)) return false;
  const [mantissa = ''] = written.split(/e/i, 1);
  return mantissa.replace(/[-.]/g, '').replace(/^0+|0+$/g, '').length > sureDigits;
}
