import { loadConfig } from '@app/config';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { examplesOf } from './guide.js';
import { projectRoot, Server } from './server.js';

/* docs/api.md has a spec of its own, and what docs/deployment.md starts is looked at in test/deploy/guide.spec.ts. */

const named = [
  'README',
  'CONTRIBUTING',
  ...['deployment', 'models', 'monitoring', 'security', 'troubleshooting'].map((x) => `docs/${x}`),
];
const textOf = (guide: string) => readFileSync(join(projectRoot, `${guide}.md`), 'utf8');

/** What the guides ask a server, one after another, and how it answers. */
const asked: ReadonlyMap<string, number[]> = new Map([
  ['README.md', [200, 200, 200, 400, 202, 200, 200]],
  ['docs/deployment.md', [200]],
  ['docs/monitoring.md', [200]],
  // The last one: it leaves the server without a model.
  ['docs/models.md', [202, 200, 202]],
]);

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'guides-'))));
afterAll(() => rmSync(folder, { recursive: true }));

async function inShell(script: string): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)('bash', ['-c', `set -euo pipefail\n${script}`], { cwd: folder, maxBuffer: 1e8 });
}

describe('commands that ask the server', () => {
  let server: Server;
  beforeAll(async () => {
    mkdirSync(join(folder, 'root'));
    cpSync(join(projectRoot, 'models/demo'), join(folder, 'root/Qwen-Image-2512'), { recursive: true });
    server = await Server.ready('--set', `model.root=${join(folder, 'root')}`);
  });
  afterAll(async () => expect(await server.stop()).toMatchObject({ code: 0 }));

  /** As they are printed, one after another; only, each waits for the model, and tells the status of its answer. */
  async function statusesOf(guide: string): Promise<number[]> {
    const blocks = examplesOf(guide, server).filter(({ language, text }) => language === 'sh' && /\bcurl\b/.test(text));
    const ready = `until command curl -sf -o /dev/null ${server.url}/health/ready; do sleep 0.1; done`;
    const curl = `curl() { ${ready}; command curl --write-out '%{stderr}status %{http_code}\\n' "$@"; }`;
    const { stderr } = await inShell([curl, ...blocks.map(({ text }) => text)].join('\n'));
    return [...stderr.matchAll(/status (\d+)/g)].map(([, status]) => Number(status));
  }

  it.each([...asked])('%s: are answered', async (guide, statuses) => {
    expect(await statusesOf(guide)).toEqual(statuses);
  });

  it('have left pictures', async () => {
    // Their bytes: a spec before this one in the same process may have locked the readers of files.
    for (const name of ['a.png', 'b.png', 'c.png'])
      expect(await sharp(readFileSync(join(folder, name))).metadata()).toMatchObject({ format: 'png', width: 256 });
  });
});

it('README.md: makes keys that the server takes', async () => {
  const [, block = '', args = ''] = /```sh\n(KEY=[^`]*)npm start -- ([^\n]*)\n```/.exec(textOf('README')) ?? [];
  await inShell(block);
  const loaded = loadConfig({ argv: args.split(' '), env: {}, cwd: folder, projectRoot });
  expect(loaded).toMatchObject({ config: { auth: { keys: [{ name: 'alice' }] } } });
});

/** Blocks that neither this spec nor that of deploy/ runs, by how they begin, and the words that say so to a reader. */
const markings: readonly [RegExp, string, string][] = [
  [/^git clone <this repository> qwen-image-server/, 'docs/deployment', 'bare machine, CPU | run in a clean folder'],
  [/^git clone <this repository> \/opt/, 'docs/deployment', 'The lines of that section were not run'],
  [/^docker (build|run)/, 'docs/deployment', 'not built by Docker: no engine was at hand'],
  [/^docker compose/, 'docs/deployment', 'Compose | not started'],
  [/^helm/, 'docs/deployment', '`helm` and `kubectl` were not run'],
  [/^npm start -- --model \/models\/Qwen-Image/, 'README', 'have not been run\nwith this version'],
  [/^pip install huggingface_hub/, 'docs/models', 'these lines were not run'],
  [/^cmake -S/, 'docs/performance', 'these lines were not run here'],
];

const docs = readdirSync(join(projectRoot, 'docs')).flatMap((name) => /^(.*)\.md$/.exec(name)?.slice(1) ?? []);

it.each(['README', 'CONTRIBUTING', ...docs.filter((name) => name !== 'api').map((name) => `docs/${name}`)])(
  '%s.md: has no commands but those that a test runs and those that are marked',
  (guide) => {
    const isRun = (block: string) => block.startsWith('KEY=') || (/\bcurl\b/.test(block) && asked.has(`${guide}.md`));
    const isMarked = (block: string) =>
      markings.some(([begin, where, words]) => begin.test(block) && textOf(where).includes(words));
    const blocks = [...textOf(guide).matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block = '']) => block);
    expect(blocks.filter((block) => !isRun(block) && !isMarked(block))).toEqual([]);
  },
);

/** What stands for a value of the reader's own. */
const placeholders: readonly [RegExp, string][] = [
  [/=N$/, '=2'],
  [/=BYTES$/, '=2000000000'],
  [/HOST/, 'localhost'],
  // A folder must be there.
  [/=\/models$/, `=${join(projectRoot, 'models')}`],
];

describe.each(named)('%s.md', (guide) => {
  // Helm's option of the same name is another one.
  const lines = textOf(guide)
    .split('\n')
    .filter((line) => !line.startsWith('helm'));
  const text = lines.join('\n');

  it('names scripts that are there', () => {
    const { scripts } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const asked = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name);
    expect(asked.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  it('names settings and values that the server takes', () => {
    const set = [...text.matchAll(/--set (?:'([^']+)'|([^\s`'"]+=[^\s`)]+))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    for (const setting of set.filter((one) => one !== 'auth.keys=keys.json')) {
      const value = placeholders.reduce((one, [pattern, own]) => one.replace(pattern, own), setting);
      expect(() => loadConfig({ argv: ['--set', value], env: {}, cwd: folder, projectRoot })).not.toThrow();
    }
  });

  it('links to what is there', () => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, path = '']) => join(projectRoot, guide, '..', path));
    expect(links.filter((path) => !existsSync(path))).toEqual([]);
  });
});
