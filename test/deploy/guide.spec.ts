import { loadConfig } from '@app/config';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { projectRoot } from '../e2e/server.js';
import { parseDockerfile } from '../image/dockerfile.js';
import { run, runTool } from './tools.js';

const guide = readFileSync(join(projectRoot, 'docs/deployment.md'), 'utf8');
const blocks = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text = '']) => text.replaceAll(/\\\n\s*/g, ''));
const commands = blocks.flatMap((block) => block.split('\n')).filter((line) => line !== '');

/** Lines of the guide that hold a command. */
function commandsWith(part: string): string[] {
  const found = commands.filter((line) => line.includes(part));
  if (found.length === 0) throw new Error(`the guide has no ${part}`);
  return found;
}

it('links to what is there', () => {
  const links = [...guide.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path = '']) => resolve(projectRoot, 'docs', path));
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((path) => !existsSync(path))).toEqual([]);
  const files = [...guide.matchAll(/(?<![\w/])deploy\/[\w./-]*\w/g)].map(([path]) => path);
  expect(files.filter((path) => !existsSync(join(projectRoot, path)))).toEqual([]);
});

it('builds targets that the Dockerfile has, by the name that is run', () => {
  const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
  const stages = parseDockerfile(readFileSync(join(projectRoot, 'Dockerfile'), 'utf8')).map(({ name }) => name);
  for (const command of commandsWith('docker build')) {
    const [, target = '', device = ''] = /--target (runtime-(\w+)) /.exec(command) ?? [];
    expect(stages).toContain(target);
    expect(command).toContain(`-t qwen-image-server:${version}-${device} `);
  }
  for (const command of commandsWith('docker run')) expect(command).toContain(`qwen-image-server:${version}-`);
});

it.each(commandsWith('docker compose'))('%s: has files and profiles that docker compose accepts', (command) => {
  const [, options = ''] = /docker compose (.*) up/.exec(command) ?? [];
  expect(runTool('docker-compose', [...options.split(' '), 'config', '--quiet'], { cwd: projectRoot })).toEqual({
    status: 0,
    text: '',
  });
});

it('makes keys that the server takes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-guide-'));
  const block = blocks.find((text) => text.includes('openssl rand')) ?? '';
  for (const name of ['alice', 'bob'])
    expect(run('sh', ['-c', block.replace('alice', name)], { cwd: folder })).toEqual({ status: 0, text: '' });
  const loaded = loadConfig({ argv: ['--set', 'auth.keys=keys.yaml'], env: {}, cwd: folder, projectRoot });
  expect(loaded).toMatchObject({ config: { auth: { keys: [{ name: 'alice' }, { name: 'bob' }] } } });
  rmSync(folder, { recursive: true });
});
