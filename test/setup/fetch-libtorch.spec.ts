import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

/* scripts/fetch-libtorch.mjs against a small wheel and a pip that only copies files. */

const scripts = resolve(__dirname, '../../scripts');
const wheelName = 'torch-1.2.3+cpu-cp311-cp311-manylinux_2_28_x86_64.whl';
const cudaName = 'torch-1.2.3-cp311-cp311-manylinux_2_28_x86_64.whl';

// Gives what its shelf has, and notes what it was asked for.
const fakePip = `#!/bin/sh
shelf=$(dirname "$0")/../shelf
for requirement in "$@"; do :; done
while [ "$1" != --dest ]; do shift; done
echo "$requirement" >>"$shelf/asked"
name=$(echo "$requirement" | sed 's/===/-/; s/^nvidia-/nvidia_/')
cp "$shelf/$name"-cp311-*.whl "$2" 2>/dev/null || { echo "ERROR: No matching distribution found for $requirement" >&2; exit 1; }
`;

let root: string;
let wheel: Buffer;

beforeAll(() => (wheel = makeWheel()));

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'qwen-libtorch-'));
  for (const folder of ['bin', 'shelf']) mkdirSync(join(root, folder));
  cpSync(scripts, join(root, 'scripts'), { recursive: true });
  writeFileSync(join(root, 'bin/python3'), fakePip);
  chmodSync(join(root, 'bin/python3'), 0o755);
  pin(createHash('sha256').update(wheel).digest('hex'));
});
afterEach(() => rmSync(root, { recursive: true }));

function makeWheel(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-wheel-'));
  try {
    for (const part of ['torch/lib', 'torch/include/ATen', 'torch/nn']) mkdirSync(join(folder, part), { recursive: true });
    const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: folder });
    writeFileSync(join(folder, 'torch/include/ATen/ATen.h'), '');
    writeFileSync(join(folder, 'torch/nn/__init__.py'), '');
    writeFileSync(join(folder, 'a.c'), 'int a(void) { return 1; }\n');
    writeFileSync(join(folder, 'b.c'), 'int a(void);\nint b(void) { return a(); }\n');
    const rpath = '-Wl,-rpath,$ORIGIN';
    run('cc', '-shared', '-fPIC', '-o', 'torch/lib/libc10.so', 'a.c');
    run(
      'cc',
      '-shared',
      '-fPIC',
      '-Wl,--no-as-needed',
      '-o',
      'torch/lib/libtorch_cpu.so',
      'b.c',
      '-Ltorch/lib',
      '-l:libc10.so',
      rpath,
    );
    run('cc', '-shared', '-fPIC', '-o', 'torch/lib/libtorch_python.so', 'a.c');
    run('cmake', '-E', 'tar', 'cf', 'w.whl', '--format=zip', 'torch');
    return readFileSync(join(folder, 'w.whl'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pin(hash: string): void {
  const sets = { cpu: [wheelName], cpuFromCuda: [cudaName], cu130: [cudaName] };
  const pins = { version: '1.2.3', cpuIndex: 'file:///nowhere', sets, sha256: { [wheelName]: hash, [cudaName]: hash } };
  writeFileSync(join(root, 'scripts/libtorch.pins.json'), JSON.stringify(pins));
}

function shelve(name: string, content: Buffer = wheel): void {
  writeFileSync(join(root, 'shelf', name), content);
}

function fetchLibtorch(...args: string[]): { status: number | null; stderr: string } {
  const path = [join(root, 'bin'), process.env['PATH']].join(delimiter);
  const env = { ...process.env, PATH: path, LIBTORCH_VARIANT: 'cpu', LIBTORCH_CPU_INDEX: '' };
  return spawnSync(process.execPath, [join(root, 'scripts/fetch-libtorch.mjs'), ...args], { env, encoding: 'utf8' });
}

function asked(): string[] {
  const file = join(root, 'shelf/asked');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
}

function leftOvers(): string[] {
  return readdirSync(join(root, '.setup')).filter((name) => name.startsWith('libtorch-fetch-'));
}

describe('fetch-libtorch', () => {
  it('keeps headers and needed libraries only, and asks nobody a second time', () => {
    shelve(wheelName);
    expect(fetchLibtorch('--check').status).toBe(1);
    expect(fetchLibtorch()).toMatchObject({ status: 0 });
    expect(readdirSync(join(root, '.libtorch/torch/lib')).sort()).toEqual(['libc10.so', 'libtorch_cpu.so']);
    expect(readdirSync(join(root, '.libtorch/torch')).sort()).toEqual(['include', 'lib']);
    expect(fetchLibtorch('--check').status).toBe(0);
    expect(fetchLibtorch().status).toBe(0);
    expect(asked()).toEqual(['torch===1.2.3+cpu']);
    expect(leftOvers()).toEqual([]);
  });

  it('falls back to the CPU part of the CUDA wheel', () => {
    shelve(cudaName);
    expect(fetchLibtorch()).toMatchObject({ status: 0 });
    expect(asked()).toEqual(['torch===1.2.3+cpu', 'torch===1.2.3+cpu', 'torch===1.2.3']);
    expect(fetchLibtorch('--check').status).toBe(0);
  });

  it('refuses a wheel that is not the pinned one, and keeps what was there', () => {
    shelve(wheelName);
    fetchLibtorch();
    pin('0'.repeat(64));
    const result = fetchLibtorch();
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`${wheelName}: sha256 is`);
    expect(existsSync(join(root, '.libtorch/torch/lib/libtorch_cpu.so'))).toBe(true);
    expect(fetchLibtorch('--check').status).toBe(1);
    expect(leftOvers()).toEqual([]);
  });

  it('removes what an interrupted fetch left', () => {
    shelve(wheelName);
    mkdirSync(join(root, '.setup/libtorch-fetch-old/raw'), { recursive: true });
    expect(fetchLibtorch().status).toBe(0);
    expect(leftOvers()).toEqual([]);
  });

  it('says what it tried when nobody has the wheel', () => {
    const result = fetchLibtorch();
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/could not be fetched:\n(.*No matching distribution.*\n){3}Set LIBTORCH_DIR/);
    expect(existsSync(join(root, '.libtorch'))).toBe(false);
  });

  it('does not use a libtorch that cannot be loaded', () => {
    mkdirSync(join(root, 'broken/lib'), { recursive: true });
    for (const name of ['libc10.so', 'libtorch_cpu.so']) writeFileSync(join(root, 'broken/lib', name), 'no library');
    const result = fetchLibtorch('--try', join(root, 'broken'));
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/libc10\.so: file too short|invalid ELF header/);
  });
});
