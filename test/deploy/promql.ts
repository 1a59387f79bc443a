/** A metric of a query with the labels that it is asked for. */
export interface Selector {
  metric: string;
  labels: string[];
}

const words = new Set(['and', 'or', 'unless', 'bool']);

/** What a query reads: each name that is neither a function nor a word of the language. Its syntax is promtool's business. */
export function selectorsOf(query: string): Selector[] {
  const found: Selector[] = [];
  const bare = query
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""') // what a string holds means nothing here
    .replaceAll(/\[[^\]]*\]/g, '')
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
    .replaceAll(/\boffset\s+\S+/g, ' ');
  for (const [, name = '', matchers = '', call] of bare.matchAll(/(?<!\w|\.)([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\}|(\())?/g)) {
    if (call !== undefined || words.has(name)) continue;
    found.push({ metric: name, labels: [...matchers.matchAll(/(\w+)\s*(?:=|!)/g)].map(([, label = '']) => label) });
  }
  return found;
}

/** Labels that a query groups by, of whatever it reads. */
export function groupingsOf(query: string): string[] {
  return [...query.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) => list.match(/\w+/g) ?? []);
}
