import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../e2e/server.js';
import { isIgnored } from '../image/build-context.js';
import { execForm, inherited, parseDockerfile, stagesFor } from '../image/dockerfile.js';
import { runTool } from './tools.js';

const text = readFileSync(join(projectRoot, 'Dockerfile'), 'utf8');
const stages = parseDockerfile(text);
const { version, engines } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
  version: string;
  engines: { node: string };
};

it('hadolint has nothing to say', () => {
  expect(runTool('hadolint', ['Dockerfile'], { cwd: projectRoot })).toEqual({ status: 0, text: '' });
});

it('hadolint would find a fault', () => {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-dockerfile-'));
  const file = join(folder, 'Dockerfile');
  writeFileSync(file, text.replace('USER 1000:1000', 'USER root'));
  expect(runTool('hadolint', [file], { cwd: projectRoot })).toMatchObject({ status: 1, text: expect.stringContaining('DL3002') });
  rmSync(folder, { recursive: true });
});

it('names this version', () => {
  expect([...text.matchAll(/qwen-image-server:([\d.]+)-/g)].map(([, tag]) => tag)).toEqual([version, version]);
});

it('stands on a pinned Node that package.json allows', () => {
  const names = stages.map(({ name }) => name);
  const bases = new Set(stages.map(({ base }) => base).filter((base) => !names.includes(base)));
  expect([...bases]).toEqual([expect.stringMatching(/^node:\d+\.\d+\.\d+-bookworm-slim$/)]);
  const [major, minor] = (/^node:(\d+)\.(\d+)/.exec([...bases][0] ?? '') ?? []).slice(1).map(Number);
  const [leastMajor, leastMinor] = (/^>=(\d+)\.(\d+)$/.exec(engines.node) ?? []).slice(1).map(Number);
  expect((major ?? 0) * 1000 + (minor ?? 0)).toBeGreaterThanOrEqual((leastMajor ?? NaN) * 1000 + (leastMinor ?? NaN));
});

it('has the stages that the documents name, the CPU image last: it is what no --target means', () => {
  const names = stages.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['native-cpu', 'native-cuda', 'typescript', 'test', 'runtime-cpu', 'runtime-cuda']),
  );
  expect(names.at(-1)).toBe('runtime-cpu');
  expect(stagesFor('runtime-cpu', stages).map(({ name }) => name)).not.toContain('libtorch-cuda');
});

it('copies what is there and not ignored', () => {
  const sources = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ name, flags }) => name === 'COPY' && flags['from'] === undefined)
    .flatMap(({ text: words }) => words.split(' ').slice(0, -1));
  expect(sources.length).toBeGreaterThan(0);
  expect(sources.filter((source) => isIgnored(source) || !existsSync(join(projectRoot, source)))).toEqual([]);
});

it.each(['.git', 'node_modules', '.libtorch', 'build', 'dist', 'data', '.setup', '.venv-reference', 'x.log'])(
  'leaves %s out',
  (name) => {
    expect(isIgnored(name)).toBe(true);
  },
);

describe.each(['runtime-cpu', 'runtime-cuda'])('%s', (name) => {
  const instructions = inherited(name, stages);
  const last = (wanted: string) => instructions.filter((each) => each.name === wanted).at(-1)?.text ?? '';

  it('runs as a user that is a number, not root', () => expect(last('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/));

  it('starts without a shell, so that SIGTERM reaches the server', () => {
    expect(execForm(last('ENTRYPOINT'))).toEqual(['/usr/bin/tini', '--', 'node', 'dist/apps/api/src/main.js']);
    expect(last('CMD')).toBe('');
  });

  it('asks itself whether it is ready, with nothing but node', () => {
    const [command, option, script] = execForm(last('HEALTHCHECK').replace(/^CMD /, '')) ?? [];
    expect([command, option]).toEqual(['node', '-e']);
    expect(script).toContain('/health/ready');
  });
});
