import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/* scripts/steps.sh before CMake itself, on a project that compiles nothing. */

const steps = resolve(__dirname, '../../scripts/steps.sh');

describe('forget_other_configuration', () => {
  let parent: string;
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'qwen-moved-'));
    mkdirSync(join(parent, 'first/scripts'), { recursive: true });
    cpSync(steps, join(parent, 'first/scripts/steps.sh'));
    writeFileSync(join(parent, 'first/CMakeLists.txt'), 'cmake_minimum_required(VERSION 3.18)\nproject(nothing NONE)\n');
    expect(configure('first')).toBe('');
    writeFileSync(join(parent, 'first/build/CMakeFiles/kept'), '');
  });
  afterEach(() => rmSync(parent, { recursive: true }));

  /** What CMake says against it. */
  function configure(name: string): string {
    const script = [
      'source scripts/steps.sh',
      'generator="Unix Makefiles"',
      '! command -v ninja >/dev/null || generator=Ninja',
      'forget_other_configuration build',
      'exec cmake -G "$generator" -S . -B build',
    ];
    const cwd = join(parent, name);
    const result = spawnSync('bash', ['-euc', script.join('\n')], { cwd, encoding: 'utf8', env: { ...process.env, PWD: cwd } });
    return result.stderr;
  }

  it('lets a folder that was moved be configured anew', () => {
    renameSync(join(parent, 'first'), join(parent, 'second'));
    expect(configure('second')).toBe('');
  });

  it('lets a copy be configured anew beside the first', () => {
    cpSync(join(parent, 'first'), join(parent, 'second'), { recursive: true });
    expect(configure('second')).toBe('');
    expect(configure('first')).toBe('');
    expect(existsSync(join(parent, 'first/build/CMakeFiles/kept'))).toBe(true);
  });

  it('keeps what is its own, also by another path', () => {
    symlinkSync(join(parent, 'first'), join(parent, 'linked'));
    for (const name of ['first', 'linked']) {
      expect(configure(name)).toBe('');
      expect(existsSync(join(parent, 'first/build/CMakeFiles/kept'))).toBe(true);
    }
  });
});
