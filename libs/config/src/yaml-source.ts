import { readFileSync } from 'node:fs';
import { isMap, isScalar, LineCounter, parseDocument, type Document, type Node, type YAMLMap } from 'yaml';
import { ConfigSource } from './config-source.js';
import { explainUnknown, findSetting, isGroup } from './setting-keys.js';
import { check } from './setting-value.js';

/** Settings of a YAML file; `name` is how messages call it. */
export function readYamlSource(path: string, name: string): ConfigSource {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const source = new ConfigSource();
    source.fault('--config', name, `cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
    return source;
  }
  return parseYamlSource(text, name);
}

export function parseYamlSource(text: string, name: string): ConfigSource {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: false });
  const walk = new YamlWalk(document, (offset) => `${name}:${lines.linePos(offset).line}`);
  for (const error of document.errors) {
    walk.source.fault('YAML', `${name}:${lines.linePos(error.pos[0]).line}`, yamlFault(error.message));
  }
  if (document.errors.length === 0 && document.contents !== null) walk.visit('', document.contents, 0);
  return walk.source;
}

/** Walks the syntax tree instead of a parsed object, since only the tree knows the lines. */
class YamlWalk {
  readonly source = new ConfigSource();

  constructor(
    private readonly document: Document.Parsed,
    private readonly originAt: (offset: number) => string,
  ) {}

  visit(key: string, node: Node | null, offset: number): void {
    const setting = findSetting(key);
    if (setting) this.source.set(setting, check(setting, node?.toJS(this.document) ?? null), this.originAt(offset));
    else if (key !== '' && !isGroup(key)) this.source.fault(key, this.originAt(offset), explainUnknown(key));
    else if (isMap(node)) this.visitGroup(key, node);
    else if (node !== null && !(isScalar(node) && node.value === null)) {
      this.source.fault(key || 'YAML', this.originAt(offset), 'must be a group of settings, one a line');
    }
  }

  private visitGroup(group: string, map: YAMLMap): void {
    for (const pair of map.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
      const offset = (pair.key as Node).range?.[0] ?? 0;
      this.visit(group === '' ? name : `${group}.${name}`, pair.value as Node | null, offset);
    }
  }
}

/** Its first line, without the place: that is told before. */
function yamlFault(message: string): string {
  return (message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
}
