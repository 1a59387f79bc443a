import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../e2e/server.js';

export const deployFolder = join(projectRoot, 'deploy');
/** Made by `scripts/setup.sh test`. */
const toolsFolder = join(projectRoot, 'build/deploy-tools');

export interface Ran {
  status: number | null;
  /** What it said, on either stream. */
  text: string;
}

/** A tool of the machine. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: string } = {},
): Ran {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (error) throw error;
  return { status, text: stdout + stderr };
}

/** A tool that pip brought. */
export function runTool(name: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Ran {
  const env = { ...process.env, PYTHONPATH: toolsFolder, ...options.env };
  return run(join(toolsFolder, 'bin', name), args, { ...options, env });
}

/** Python with what pip brought. */
export function runPython(args: readonly string[], input = ''): Ran {
  return run('python3', args, { env: { ...process.env, PYTHONPATH: toolsFolder }, input });
}
