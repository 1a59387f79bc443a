import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server } from './server.js';

interface Wrong {
  what: string;
  args?: string[];
  env?: Record<string, string>;
  /** Content of the file of --config. */
  yaml?: string;
  /** All that the server says. */
  says: string | RegExp;
}

const sha256 = 'ab'.repeat(32);

/** What people get wrong. Each stops the start with exit code 1 and lines that say where, what came and what is allowed. */
const wrongs: readonly Wrong[] = [
  {
    what: 'a port that is no number',
    args: ['--port', 'http'],
    says: 'server.port (option --port): must be an integer from 0 to 65535; got "http"',
  },
  {
    what: 'a port out of range',
    env: { QWEN_SERVER_PORT: '70000' },
    says: 'server.port (variable QWEN_SERVER_PORT): must be an integer from 0 to 65535; got 70000',
  },
  {
    what: 'a port in quotes',
    yaml: 'server:\n  port: "3000"\n',
    says: 'server.port (my.yaml:2): must be an integer from 0 to 65535; got "3000"',
  },
  {
    what: 'an option misspelt',
    args: ['--prot', '3000'],
    says: '--prot (command line): is no option; did you mean --port? (--help lists them)',
  },
  { what: 'an option of other servers', args: ['--listen'], says: '--listen (command line): is no option (--help lists them)' },
  { what: 'an option without its value', args: ['--model'], says: '--model (command line): needs a value: --model DIR' },
  {
    what: 'a word without an option',
    args: ['models/demo'],
    says: 'models/demo (command line): is no option; values belong behind one',
  },
  {
    what: 'a key misspelt on the command line',
    args: ['--set', 'limits.maxStep=5'],
    says: 'limits.maxStep (option --set): is no setting; did you mean limits.maxSteps?',
  },
  {
    what: 'a key misspelt in the file',
    yaml: 'queue:\n  maxpending: 5\n',
    says: 'queue.maxpending (my.yaml:2): is no setting; did you mean queue.maxPending?',
  },
  {
    what: 'a variable misspelt',
    env: { QWEN_MODEL_DEVCE: 'cpu' },
    says: 'QWEN_MODEL_DEVCE (variable QWEN_MODEL_DEVCE): is no setting; did you mean QWEN_MODEL_DEVICE?',
  },
  {
    what: 'a key of a later version',
    args: ['--set', 'model.devices=["cuda:0"]'],
    says: 'model.devices (option --set): is not built yet',
  },
  {
    what: 'a key without a value',
    args: ['--set', 'server.port'],
    says: '--set (command line): must be KEY=VALUE; got "server.port"',
  },
  {
    what: 'a key twice',
    args: ['--set', 'docs.enabled=true', '--set', 'docs.enabled=false'],
    says: 'docs.enabled (option --set): is given twice on the command line',
  },
  {
    what: 'a device that is none',
    args: ['--device', 'gpu'],
    says: 'model.device (option --device): must be auto, cpu, cuda or cuda:N; got "gpu"',
  },
  {
    what: 'a dtype of other servers',
    args: ['--dtype', 'fp16'],
    says: 'model.dtype (option --dtype): must be auto | float32 | bfloat16; got "fp16"',
  },
  {
    what: 'half a thread',
    env: { QWEN_MODEL_THREADS: '0.5' },
    says: 'model.threads (variable QWEN_MODEL_THREADS): must be an integer from 1 to 1024 or auto; got "0.5"',
  },
  {
    what: 'memory with a unit',
    args: ['--set', 'model.memoryBudget=16GB'],
    says: /^ {2}model\.memoryBudget \(option --set\): must be an integer from 1048576 to \d+ or null; got "16GB"$/m,
  },
  {
    what: 'a switch that is no word',
    yaml: 'docs:\n  enabled: "yes"\n',
    says: 'docs.enabled (my.yaml:2): must be true or false; got "yes"',
  },
  {
    what: 'a log level of others',
    args: ['--log-level', 'trace'],
    says: 'logging.level (option --log-level): must be error | warn | info | debug; got "trace"',
  },
  {
    what: 'a negative limit',
    args: ['--set', 'limits.maxImages=-1'],
    says: 'limits.maxImages (option --set): must be an integer from 1 to 64; got -1',
  },
  {
    what: 'limits that contradict',
    args: ['--set', 'limits.minSide=2048', '--set', 'limits.maxSide=1024'],
    says: 'limits.minSide (option --set): limits.minSide (2048) must not be above limits.maxSide (1024)',
  },
  {
    what: 'limits that no picture can meet',
    args: ['--set', 'limits.minSide=33', '--set', 'limits.maxSide=47'],
    says: 'limits.minSide (option --set): no multiple of 16, which sides are, lies between limits.minSide (33) and limits.maxSide (47)',
  },
  {
    what: 'a budget below one file',
    args: ['--set', 'limits.uploadBytesInFlight=1000'],
    says: 'limits.uploadBytesInFlight (option --set): limits.uploadBytesInFlight (1000) must hold a file of limits.maxUploadBytes (20971520)',
  },
  {
    what: 'Redis without its URL',
    args: ['--set', 'rateLimit.storage=redis'],
    says: 'rateLimit.storage (option --set): redis needs redis.url',
  },
  {
    what: 'a Redis URL that is none',
    env: { QWEN_REDIS_URL: 'localhost:6379' },
    says: 'redis.url (variable QWEN_REDIS_URL): must be redis://[user:password@]host[:port][/database] or rediss:// or null',
  },
  {
    what: 'an API key itself in the place of its hash',
    args: ['--set', 'auth.keys=[{"name":"alice","sha256":"my-secret"}]'],
    says: 'auth.keys (option --set): key 1 (alice) needs a sha256: 64 hexadecimal digits in quotes',
  },
  {
    what: 'an API key with an unknown scope',
    args: ['--set', `auth.keys=[{"name":"alice","sha256":"${sha256}","scopes":["all"]}]`],
    says: 'auth.keys (option --set): key 1 (alice) has wrong scopes: a list of generate | admin | metrics',
  },
  {
    what: 'a file of API keys that is not there',
    env: { QWEN_AUTH_KEYS: '/none/keys.yaml' },
    says: 'auth.keys (variable QWEN_AUTH_KEYS): /none/keys.yaml cannot be read: ENOENT',
  },
  {
    what: 'an origin with a path',
    args: ['--set', 'server.corsOrigins=["https://a.example/x"]'],
    says: 'server.corsOrigins (option --set): must be a list of origins as browsers send them, such as https://app.example.com, or *; got ["https://a.example/x"]',
  },
  {
    what: 'a proxy that is everybody',
    args: ['--set', 'server.trustProxy=["0.0.0.0/0"]'],
    says: /^ {2}server\.trustProxy \(option --set\): must be an integer from 0 to 16 or a list of .*; got \["0\.0\.0\.0\/0"\]$/m,
  },
  {
    what: 'a folder of models that is not there',
    args: ['--set', 'model.root=none'],
    says: 'model.root (option --set): must be the path of a folder; none cannot be read: ENOENT',
  },
  {
    what: 'a folder of models that is not there, for --check',
    args: ['--check'],
    env: { QWEN_MODEL_ROOT: '/none' },
    says: 'model.root (variable QWEN_MODEL_ROOT): must be the path of a folder; /none cannot be read: ENOENT',
  },
  { what: 'a file that is no YAML', yaml: 'server:\n  port: [1\n', says: /^ {2}YAML \(my\.yaml:\d+\): \S/m },
  { what: 'a file that is not there', args: ['--config', 'none.yaml'], says: '--config (none.yaml): cannot be read: ENOENT' },
  {
    what: 'a value in the place of a group',
    yaml: 'server: 3000\n',
    says: 'server (my.yaml:1): must be a group of settings, one a line',
  },
];

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'wrong-settings-'))));
afterAll(() => {
  rmSync(folder, { recursive: true });
  const rows = wrongs.map(({ what }) => `| ${what} | ${(told.get(what) ?? '').replaceAll('|', '\\|').trim()} |`);
  process.stderr.write(`\n| wrong | what the server says |\n|---|---|\n${rows.join('\n')}\n\n`);
});

const told = new Map<string, string>();

describe('a wrong setting stops the start', () => {
  it('of thirty kinds and more', () => {
    expect(new Set(wrongs.map(({ what }) => what)).size).toBe(wrongs.length);
    expect(wrongs.length).toBeGreaterThanOrEqual(30);
  });

  it.each(wrongs)('$what', async ({ what, args = [], env = {}, yaml, says }) => {
    if (yaml !== undefined) writeFileSync(join(folder, 'my.yaml'), yaml);
    const file = yaml === undefined ? [] : ['--config', 'my.yaml'];
    const server = Server.bare([...file, ...args], env, folder);
    const { code, stderr } = await server.ended;
    const lines = stderr.split('\n');
    told.set(what, lines.slice(1).join(' '));
    expect(code).toBe(1);
    expect(lines[0]).toBe('The configuration is wrong:');
    if (typeof says === 'string') expect(lines.slice(1)).toEqual([`  ${says}`, '']);
    else expect(stderr).toMatch(says);
    expect(server.text).toBe('');
    expect(stderr).not.toContain('my-secret');
  });
});
