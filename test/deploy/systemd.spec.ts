import { loadConfig } from '@app/config';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../e2e/server.js';
import { deployFolder, run } from './tools.js';

const unitName = 'qwen-image-server.service';
const unit = readFileSync(join(deployFolder, 'systemd', unitName), 'utf8');
/** systemd's scale goes from 0 to 10. */
const greatestExposure = 2;

/** What systemd-analyze says of a unit, in a system of which only what the unit names is there. */
function analyze(text: string, ...command: string[]) {
  const root = mkdtempSync(join(tmpdir(), 'qwen-systemd-'));
  const units = join(root, 'etc/systemd/system');
  for (const folder of [units, join(root, 'usr/bin'), join(root, 'usr/lib/systemd')]) mkdirSync(folder, { recursive: true });
  cpSync('/usr/lib/systemd/system', join(root, 'usr/lib/systemd/system'), { recursive: true, verbatimSymlinks: true });
  writeFileSync(join(root, 'usr/bin/node'), '', { mode: 0o755 });
  writeFileSync(join(units, unitName), text);
  const ran = run('systemd-analyze', [...command, `--root=${root}`, unitName]);
  rmSync(root, { recursive: true });
  return ran;
}

/** The values of a setting, in the order of the unit. */
function values(name: string): string[] {
  return [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}

it('systemd-analyze has nothing to say', () => {
  expect(analyze(unit, 'verify', '--man=no')).toEqual({ status: 0, text: '' });
});

it.each([
  ['a wrong setting', 'Type=exec', 'Type=exce', 'exce'],
  ['an unknown one', 'OOMPolicy=', 'OomPolicy=', "'OomPolicy'"],
  ['a program that is not there', '/usr/bin/node', '/usr/bin/deno', '/usr/bin/deno is not executable'],
])('systemd-analyze would find %s', (_, right, wrong, message) => {
  expect(analyze(unit.replace(right, wrong), 'verify', '--man=no').text).toContain(message);
});

it(`is exposed by ${greatestExposure} of 10 at most`, () => {
  const security = ['security', '--offline=yes', `--threshold=${greatestExposure * 10}`];
  expect(analyze(unit, ...security).status).toBe(0);
  expect(analyze(unit.replace('CapabilityBoundingSet=\n', '').replace('NoNewPrivileges=yes', ''), ...security).status).not.toBe(
    0,
  );
});

it('starts what the build makes, and lets the server end by itself', () => {
  const [program, script] = values('ExecStart').join().split(' ');
  expect(program).toBe('/usr/bin/node');
  expect(script?.replace('/opt/qwen-image-server/', '')).toBe('dist/apps/api/src/main.js');
  expect(values('KillMode')).toEqual(['mixed']);
  const loaded = loadConfig({ argv: [], env: {}, cwd: '/', projectRoot });
  if (loaded.kind !== 'config') throw new Error(loaded.kind);
  // Behind the running job: its answer, the engine and open connections, 5 s each (apps/api/src/shutdown.ts).
  expect(Number(values('TimeoutStopSec')[0])).toBeGreaterThan(loaded.config.server.shutdownGraceMs / 1000 + 15);
});

it('gives the server settings that it takes, and a folder for its jobs that it may write to', () => {
  const own = values('Environment').flatMap((line) => line.split(' '));
  const example = readFileSync(join(deployFolder, 'systemd/environment.example'), 'utf8').split('\n');
  const lines = [...own, ...example.filter((line) => line !== '' && !line.startsWith('#'))];
  const env = Object.fromEntries(lines.map((line) => line.split('=') as [string, string]));
  const loaded = loadConfig({ argv: [], env, cwd: '/opt/qwen-image-server', projectRoot });
  if (loaded.kind !== 'config') throw new Error(loaded.kind);
  expect(loaded.config.jobs.directory).toBe(`/var/lib/${values('StateDirectory').join()}/jobs`);
  expect(loaded.config.model.path).toBe('/srv/models/Qwen-Image');
});
