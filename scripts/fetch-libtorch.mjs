// Puts the pinned libtorch into .libtorch/ (torch/include, torch/lib, nvidia/*/lib). pip is only the downloader.
//   node scripts/fetch-libtorch.mjs             fetch, unless it is already there
//   node scripts/fetch-libtorch.mjs --check     exit 0 when what is there is what is wanted
//   node scripts/fetch-libtorch.mjs --variant   print cpu or cu130
//   node scripts/fetch-libtorch.mjs --try DIR   load the libraries of a torch folder once, in a child
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';

const root = resolve(import.meta.dirname, '..');
const target = join(root, '.libtorch');
const manifestFile = join(target, 'manifest.json');
const workPrefix = join(root, '.setup', 'libtorch-fetch-'); // same file system as the target: the last step is a rename
const pins = JSON.parse(readFileSync(join(import.meta.dirname, 'libtorch.pins.json'), 'utf8'));

// torch's wheel is manylinux_2_28, NVIDIA's carry older tags, and pip takes only the tags that it is told.
const platforms = [28, 27, 25, 24, 18, 17, 12].map((minor) => `manylinux_2_${minor}_x86_64`).concat('manylinux2014_x86_64');

// Opened by name at run time, so they are in nobody's NEEDED list: device code, linear algebra, run-time compiled kernels.
const openedAtRunTime = ['libtorch_cuda.so', 'libtorch_cuda_linalg.so', 'libcaffe2_nvrtc.so'];

class SetupError extends Error {}

function say(line) {
  process.stderr.write(`      ${line}\n`);
}

function wantedVariant() {
  const choice = process.env.LIBTORCH_VARIANT || 'auto';
  if (!['auto', 'cpu', 'cu130'].includes(choice)) {
    throw new SetupError(`LIBTORCH_VARIANT is '${choice}'; allowed: auto, cpu, cu130`);
  }
  return choice === 'auto' ? (hasNvidiaDriver() ? 'cu130' : 'cpu') : choice;
}

function hasNvidiaDriver() {
  return (
    existsSync('/proc/driver/nvidia/version') ||
    ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib/wsl/lib'].some((folder) => existsSync(join(folder, 'libcuda.so.1')))
  );
}

function isCurrent(variant) {
  if (!existsSync(manifestFile)) return false;
  const { version, variant: present, files } = JSON.parse(readFileSync(manifestFile, 'utf8'));
  const pinned = Object.entries(files).every(([file, hash]) => pins.sha256[file] === hash);
  return version === pins.version && present === variant && pinned && existsSync(join(target, 'torch/lib/libtorch_cpu.so'));
}

/** The sets of wheels that give a variant, in the order in which they are tried. */
function sources(variant) {
  if (variant === 'cu130') return [{ name: 'CUDA 13.0 wheels', files: pins.sets.cu130, pipOptions: [] }];
  const index = process.env.LIBTORCH_CPU_INDEX || pins.cpuIndex;
  return [
    { name: 'CPU wheel, from where pip is set to look', files: pins.sets.cpu, pipOptions: [] },
    {
      name: `CPU wheel, from ${index}`,
      files: pins.sets.cpu,
      pipOptions: ['--index-url', index, '--retries', '1', '--timeout', '20'],
    },
    { name: 'CPU part of the CUDA 13.0 wheel', files: pins.sets.cpuFromCuda, pipOptions: [] },
  ];
}

/** `torch-2.13.0+cpu-cp311-….whl` → `torch===2.13.0+cpu`; `===` so that `2.13.0` does not mean `2.13.0+cpu`. */
function requirement(file) {
  const [name, version] = file.split('-');
  return `${name.replaceAll('_', '-')}===${version}`;
}

function pipDownload(file, folder, pipOptions) {
  const options = ['--quiet', '--no-cache-dir', '--no-deps', '--only-binary', ':all:', '--python-version', '3.11'];
  options.push('--implementation', 'cp', '--abi', 'cp311', ...platforms.flatMap((tag) => ['--platform', tag]));
  const pip = ['-m', 'pip', 'download', ...options, ...pipOptions, '--dest', folder, requirement(file)];
  const result = spawnSync('python3', pip, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  if (result.status === 0) return null;
  return result.error?.message ?? result.stderr.trim().split('\n').at(-1) ?? 'pip failed';
}

async function verify(file, path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const got = hash.digest('hex');
  if (got !== pins.sha256[file]) throw new SetupError(`${file}: sha256 is ${got}, the pin says ${pins.sha256[file]}`);
}

/** The first source that has every file; a file that is there but is not the pinned one ends the set-up. */
async function download(variant, folder) {
  const failures = [];
  for (const source of sources(variant)) {
    const failure = await downloadAll(source, folder);
    if (!failure) return source;
    say(`  not to be had: ${failure}`);
    failures.push(`  ${source.name}: ${failure}`);
  }
  throw new SetupError(
    `libtorch ${pins.version} (${variant}) could not be fetched:\n${failures.join('\n')}\n` +
      'Set LIBTORCH_DIR to an unpacked libtorch (or the torch folder of an installed PyTorch) to use that one.',
  );
}

async function downloadAll({ name, files, pipOptions }, folder) {
  say(name);
  for (const file of files) {
    say(`  ${file}`);
    if (!pins.sha256[file]) throw new SetupError(`${file} has no sha256 in scripts/libtorch.pins.json: it is not used`);
    const failure = pipDownload(file, folder, pipOptions);
    if (failure) return failure;
    const path = join(folder, file);
    if (!existsSync(path)) return `pip brought another file than ${file}: ${readdirSync(folder).join(', ')}`;
    await verify(file, path);
  }
  return null;
}

function unpack(wheel, folder) {
  run('cmake', ['-E', 'tar', 'xf', wheel], { cwd: folder });
}

/** Keeps headers and the libraries that the roots need; Python's part of the wheel goes. */
function keepNeeded(from, to, variant) {
  const lib = join(from, 'torch/lib');
  mkdirSync(join(to, 'torch/lib'), { recursive: true });
  const roots = ['libtorch_cpu.so', ...(variant === 'cu130' ? openedAtRunTime : [])];
  const kept = new Set();
  const pending = roots.filter((name) => existsSync(join(lib, name)));
  while (pending.length > 0) {
    const name = pending.pop();
    if (kept.has(name) || !existsSync(join(lib, name))) continue; // not torch's own: NVIDIA's or the system's
    kept.add(name);
    pending.push(...neededBy(join(lib, name)));
  }
  for (const name of kept) renameSync(join(lib, name), join(to, 'torch/lib', name));
  renameSync(join(from, 'torch/include'), join(to, 'torch/include'));
  const nvidia = join(from, 'nvidia');
  if (!existsSync(nvidia)) return;
  for (const part of readdirSync(nvidia).filter((name) => existsSync(join(nvidia, name, 'lib')))) {
    mkdirSync(join(to, 'nvidia', part), { recursive: true });
    renameSync(join(nvidia, part, 'lib'), join(to, 'nvidia', part, 'lib'));
  }
}

function neededBy(library) {
  return [...run('readelf', ['-d', library]).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1]);
}

function tryToLoad(torch) {
  const check = join(root, '.setup', 'libtorch-load-check');
  run(process.env.CC || 'cc', ['-o', check, join(import.meta.dirname, 'libtorch-load-check.c'), '-ldl']);
  const device = join(torch, 'lib/libtorch_cuda.so');
  run(check, [join(torch, 'lib/libc10.so'), join(torch, 'lib/libtorch_cpu.so'), ...(existsSync(device) ? [device] : [])]);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (result.status !== 0) {
    const why = result.error?.message ?? (result.stderr.trim() || `ended by ${result.signal ?? `exit code ${result.status}`}`);
    throw new SetupError(`${command} ${args.slice(0, 3).join(' ')}: ${why}`);
  }
  return result.stdout;
}

/** What interrupted fetches left. One that was killed a moment ago may still be unpacking: the next fetch removes it. */
function removeLeftOvers() {
  const folder = dirname(workPrefix);
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith(basename(workPrefix)))) {
    spawnSync('rm', ['-rf', join(folder, name)]);
  }
}

async function fetchLibtorch(variant) {
  removeLeftOvers();
  const work = mkdtempSync(workPrefix);
  try {
    await fetchInto(work, variant);
    rmSync(target, { recursive: true, force: true });
    renameSync(join(work, 'slim'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Downloads, unpacks, trims and tries a libtorch in a folder of its own: WORK/slim is what will be .libtorch. */
async function fetchInto(work, variant) {
  const [wheels, raw, slim] = ['wheels', 'raw', 'slim'].map((name) => join(work, name));
  for (const folder of [wheels, raw, slim]) mkdirSync(folder);
  const source = await download(variant, wheels);
  for (const file of source.files) {
    unpack(join(wheels, file), raw);
    rmSync(join(wheels, file));
  }
  keepNeeded(raw, slim, variant);
  tryToLoad(join(slim, 'torch'));
  const files = Object.fromEntries(source.files.map((file) => [file, pins.sha256[file]]));
  const manifest = { version: pins.version, variant, source: source.name, files };
  writeFileSync(join(slim, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

async function main(mode, folder) {
  mkdirSync(dirname(workPrefix), { recursive: true });
  if (mode === '--try') return tryToLoad(resolve(folder));
  const variant = wantedVariant();
  if (mode === '--variant') return console.log(variant);
  if (mode === '--check') {
    process.exitCode = isCurrent(variant) ? 0 : 1;
    return;
  }
  if (!isCurrent(variant)) await fetchLibtorch(variant);
}

try {
  await main(...process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
