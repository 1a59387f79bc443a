/** One instruction, with its continuation lines joined and its comments gone. */
export interface Instruction {
  name: string;
  /** `--from=x` → `from: x`. */
  flags: Readonly<Record<string, string>>;
  text: string;
  line: number;
}

export interface Stage {
  name: string;
  /** An image, or the name of an earlier stage. */
  base: string;
  instructions: readonly Instruction[];
}

/** A Dockerfile without here-documents and ONBUILD; global ARGs are filled into FROM. */
export function parseDockerfile(text: string): Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  const globals: Record<string, string> = {};
  for (const instruction of instructionsOf(text.split('\n'))) {
    const { name, text: rest, line } = instruction;
    const current = stages.at(-1);
    if (name === 'FROM') {
      const [, base = '', stage = ''] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
      if (base === '' || stage === '') throw new Error(`line ${line}: every stage has a name here: FROM ${rest}`);
      stages.push({ name: stage, base: fillIn(base, globals), instructions: [] });
    } else if (current) current.instructions.push(instruction);
    else if (name === 'ARG') Object.assign(globals, assignments(rest));
    else throw new Error(`line ${line}: ${name} before FROM`);
  }
  return stages;
}

function instructionsOf(lines: readonly string[]): Instruction[] {
  const found: Instruction[] = [];
  let text = '';
  let line = 0;
  for (const [index, raw] of lines.entries()) {
    if (/^\s*(#|$)/.test(raw)) continue; // comments may stand inside an instruction too
    if (text === '') line = index + 1;
    text += raw.replace(/\\\s*$/, '');
    if (/\\\s*$/.test(raw)) continue;
    found.push(instruction(text, line));
    text = '';
  }
  return found;
}

function instruction(text: string, line: number): Instruction {
  const [, name = '', flagText = '', rest = ''] = /^\s*(\w+)\s+((?:--\S+\s+)*)(.*)$/.exec(text) ?? [];
  const flags = [...flagText.matchAll(/--([\w-]+)(?:=(\S+))?/g)].map(([, key = '', value = '']) => [key, value] as const);
  return { name: name.toUpperCase(), flags: Object.fromEntries(flags), text: rest.trim(), line };
}

/** `A=1 B="two words"`, as ENV and ARG take them; a name alone has no value. */
export function assignments(text: string): Record<string, string> {
  const pairs = [...text.matchAll(/([\w.]+)=("[^"]*"|\S*)/g)].map(([, key = '', value = '']) => [key, value.replaceAll('"', '')]);
  return Object.fromEntries(pairs) as Record<string, string>;
}

export function fillIn(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{(\w+)\}|\$(\w+)/g, (_, braced?: string, plain?: string) => variables[braced ?? plain ?? ''] ?? '');
}

/** The words of the exec form; null for the shell form. */
export function execForm(text: string): string[] | null {
  return text.startsWith('[') ? (JSON.parse(text) as string[]) : null;
}

/** A stage and, before it, what it is made from: bases and sources of COPY --from. */
export function stagesFor(target: string, stages: readonly Stage[]): Stage[] {
  const stage = stages.find(({ name }) => name === target);
  if (!stage) return [];
  const needed = [stage.base, ...stage.instructions.flatMap(({ flags }) => flags['from'] ?? [])];
  return [...new Set([...needed.flatMap((name) => stagesFor(name, stages)), stage])];
}

/** The instructions of a stage behind those of the stages that it stands on. */
export function inherited(target: string, stages: readonly Stage[]): Instruction[] {
  const stage = stages.find(({ name }) => name === target);
  return stage ? [...inherited(stage.base, stages), ...stage.instructions] : [];
}
