import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { projectRoot } from '../e2e/server.js';
import { contextEntries, isIgnored } from './build-context.js';
import { assignments, execForm, fillIn, type Instruction, type Stage } from './dockerfile.js';
import { baseImage, enter, imageFolder, mountKernel, mountNetwork, mountOverlay, must } from './machine.js';

/** What a stage has become. */
export interface BuiltStage {
  /** Of all that it is made from. */
  key: string;
  /** Its folders of changes, newest first, then the base image. */
  layers: readonly string[];
  root: string;
  variables: Record<string, string>;
  user: string;
  workdir: string;
  entrypoint: string[];
  healthcheck: string[];
  volumes: string[];
}

const emptyStage = { user: '0', workdir: '/', entrypoint: [], healthcheck: [], volumes: [] };

/**
 * Makes stages as a container engine would: each RUN in the stage's own root, without anything of this machine but its network. A stage
 * whose lines, files and base are those of the last run is kept.
 */
export class Builder {
  private readonly built = new Map<string, BuiltStage>();

  stage(name: string): BuiltStage {
    const found = this.built.get(name);
    if (!found) throw new Error(`stage ${name} was not built`);
    return found;
  }

  /** Answers whether anything had to be done. */
  build({ name, base, instructions }: Stage): boolean {
    const parent = this.built.get(base);
    const folder = join(imageFolder, 'stages', name);
    const upper = join(folder, 'changes');
    const lower = parent?.layers ?? [baseImage(base)];
    const own = { key: this.keyOf(parent?.key ?? base, instructions), layers: [upper, ...lower], root: join(folder, 'root') };
    const stage: BuiltStage = parent
      ? { ...parent, ...own, variables: { ...parent.variables } }
      : { ...emptyStage, ...own, variables: {} };
    const stamp = join(folder, 'key');
    const isKept = existsSync(stamp) && readFileSync(stamp, 'utf8') === stage.key;
    if (!isKept) rmSync(folder, { recursive: true, force: true });
    mountOverlay(stage.root, lower, upper);
    const log = join(folder, 'log');
    const buildOnly: Record<string, string> = {};
    for (const instruction of instructions) {
      if (!isKept || !['RUN', 'COPY'].includes(instruction.name)) this.apply(instruction, stage, buildOnly, log);
    }
    writeFileSync(stamp, stage.key);
    this.built.set(name, stage);
    return !isKept;
  }

  private keyOf(base: string, instructions: readonly Instruction[]): string {
    const hash = createHash('sha256').update(base);
    for (const { name, flags, text } of instructions) {
      hash.update(`${name} ${JSON.stringify(flags)} ${text}\n`);
      const sources = text.split(/\s+/).slice(0, -1);
      if (flags['from'] !== undefined) hash.update(this.stage(flags['from']).key);
      else if (name === 'COPY')
        hash.update(contentOf(sources.flatMap((source) => (source === '.' ? contextEntries() : [source]))));
    }
    return hash.digest('hex');
  }

  private apply(instruction: Instruction, stage: BuiltStage, buildOnly: Record<string, string>, log: string): void {
    const { name, text, line } = instruction;
    appendFileSync(log, `--- line ${line}: ${name} ${text}\n`);
    const filled = fillIn(text, { ...buildOnly, ...stage.variables });
    if (name === 'RUN') run(text, stage, buildOnly, log);
    else if (name === 'COPY') this.copy(instruction, filled, stage);
    else if (name === 'ARG') Object.assign(buildOnly, assignments(text));
    else if (name === 'ENV') Object.assign(stage.variables, assignments(filled));
    else if (name === 'USER') stage.user = filled;
    else if (name === 'VOLUME') stage.volumes = [...stage.volumes, filled];
    else if (name === 'ENTRYPOINT') stage.entrypoint = execForm(text) ?? ['/bin/sh', '-c', text];
    else if (name === 'HEALTHCHECK') stage.healthcheck = execForm(text.replace(/^CMD\s+/, '')) ?? [];
    else if (name === 'WORKDIR') {
      stage.workdir = filled;
      mkdirSync(join(stage.root, filled), { recursive: true });
    } else if (name !== 'EXPOSE') throw new Error(`Dockerfile:${line}: these tests do not know ${name}`);
  }

  /** Of a folder its content; into a folder where the destination ends in / or several things come. Owned by root. */
  private copy({ flags, line }: Instruction, text: string, { root, workdir }: BuiltStage): void {
    const { from, ...others } = flags;
    if (Object.keys(others).length > 0)
      throw new Error(`Dockerfile:${line}: these tests do not know --${Object.keys(others).join()}`);
    const words = text.split(/\s+/);
    const destination = words.at(-1) ?? '';
    const target = destination.startsWith('/') ? join(root, destination) : join(root, workdir, destination);
    const isFolder = destination.endsWith('/') || words.length > 2;
    for (const word of words.slice(0, -1)) {
      const source = join(from === undefined ? projectRoot : this.stage(from).root, word);
      if (from === undefined && isIgnored(word)) throw new Error(`Dockerfile:${line}: ${word} is in .dockerignore`);
      if (!existsSync(source)) throw new Error(`Dockerfile:${line}: no ${word} to copy`);
      if (word === '.') for (const entry of contextEntries()) copyTo(join(source, entry), join(target, entry));
      else copyTo(source, isFolder && !statSync(source).isDirectory() ? join(target, basename(word)) : target);
    }
  }
}

/** A hash of files of the project: names, modes and bytes. */
function contentOf(paths: readonly string[]): string {
  const options = '--sort=name --mtime=@0 --owner=0 --group=0 --create';
  return must('sh', ['-c', `tar ${options} -- "$@" | sha256sum`, 'sh', ...paths], { cwd: projectRoot });
}

function copyTo(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  if (statSync(source).isDirectory()) mkdirSync(target, { recursive: true });
  const content = statSync(source).isDirectory() ? `${source}/.` : source;
  must('cp', ['--archive', '--no-preserve=ownership', '--no-target-directory', content, target]);
}

function run(text: string, stage: BuiltStage, buildOnly: Record<string, string>, log: string): void {
  mountKernel(stage.root);
  try {
    const variables = { ...mountNetwork(stage.root), ...buildOnly, ...stage.variables };
    const [command = '', ...args] = enter({ ...stage, variables }, ['/bin/sh', '-c', text]);
    const { status, error } = spawnSync('sh', ['-c', 'exec "$0" "$@" >>"$LOG" 2>&1 </dev/null', command, ...args], {
      env: { ...process.env, LOG: log },
    });
    if (error) throw error;
    if (status !== 0) {
      const tail = readFileSync(log, 'utf8').split('\n').slice(-40).join('\n');
      throw new Error(`RUN ${text}\nexit status ${status ?? 'none'}; the whole output is in ${log}\n${tail}`);
    }
  } finally {
    for (const folder of ['run', 'dev', 'proc']) must('umount', ['--recursive', join(stage.root, folder)]);
  }
}
