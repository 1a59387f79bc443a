import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { AppConfig } from './app-config.js';
import { ConfigError } from './config.error.js';
import { loadConfig, type LoadedConfig } from './load-config.js';
import { variableName } from './setting-keys.js';
import { plannedKeys, settings } from './settings.js';

const projectRoot = resolve(__dirname, '../../..');

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'qwen-config-'))));
afterAll(() => rmSync(folder, { recursive: true }));

interface Given {
  argv?: string[];
  env?: Record<string, string>;
  yaml?: string;
}

function load({ argv = [], env = {}, yaml }: Given, isTerminal = false): LoadedConfig {
  if (yaml !== undefined) writeFileSync(join(folder, 'my.yaml'), yaml);
  const withFile = yaml === undefined ? argv : ['--config', 'my.yaml', ...argv];
  return loadConfig({ argv: withFile, env, cwd: folder, projectRoot, isTerminal });
}

function configOf(given: Given, isTerminal = false): AppConfig {
  const loaded = load(given, isTerminal);
  if (loaded.kind !== 'config') throw new Error(`expected a configuration, got ${loaded.kind}`);
  return loaded.config;
}

function faultsOf(given: Given): string[] {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ key, origin, message }) => `${key} (${origin}): ${message}`);
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  it('gives the documented defaults', () => {
    expect(configOf({})).toEqual({
      server: {
        host: '127.0.0.1',
        port: 3000,
        shutdownGraceMs: 60_000,
        trustProxy: 0,
        allowedHosts: [],
        corsOrigins: [],
        keepAliveMs: 75000,
        publicUrl: null,
      },
      model: {
        path: join(projectRoot, 'models/demo'),
        name: 'demo',
        root: null,
        device: 'auto',
        dtype: 'auto',
        threads: 'auto',
        memoryBudget: null,
        residency: 'resident',
        vaeTiling: 'auto',
      },
      prompt: { specialTokens: 'allow' },
      limits: {
        minSide: 32,
        maxSide: 4096,
        maxPixels: 4194304,
        maxSteps: 200,
        maxImages: 4,
        maxPromptChars: 32000,
        maxUploadBytes: 20971520,
        maxInputPixels: 50000000,
        maxInputImages: 3,
        uploadBytesInFlight: 268435456,
        decodeTimeoutMs: 10000,
      },
      queue: { driver: 'memory', maxPending: 64, maxPendingPerClient: 64, timeoutMs: 600_000 },
      jobs: {
        directory: join(projectRoot, 'data/jobs'),
        ttlMs: 3_600_000,
        maxBytes: 2 * 1024 ** 3,
        disconnectGraceMs: 60_000,
      },
      engine: { hangMs: 60_000, stageFactor: 10 },
      rateLimit: { enabled: true, limit: 600, windowMs: 60000, storage: 'memory' },
      redis: { url: null },
      auth: { keys: null },
      logging: { level: 'info', format: 'json', prompts: false },
      tracing: { otlpEndpoint: null, sampleRatio: 1 },
      docs: { enabled: true },
      metrics: { enabled: true },
    });
  });

  it('prefers the command line to the environment, that to the file, and the file to the defaults', () => {
    const yaml = 'server:\n  host: filehost\n  port: 1\nmodel:\n  threads: 1\n';
    const loaded = load({ yaml, env: { QWEN_SERVER_PORT: '2', QWEN_MODEL_THREADS: '2' }, argv: ['--set', 'model.threads=3'] });
    if (loaded.kind !== 'config') throw new Error(loaded.kind);
    expect(loaded.config.server).toMatchObject({ host: 'filehost', port: 2 });
    expect(loaded.config.model.threads).toBe(3);
    expect(loaded.origins.get('server.host')).toBe('my.yaml:2');
    expect(loaded.origins.get('server.port')).toBe('variable QWEN_SERVER_PORT');
    expect(loaded.origins.get('model.threads')).toBe('option --set');
    expect(loaded.origins.get('model.dtype')).toMatch(/^config\/default\.yaml:\d+$/);
  });

  it('knows the short options', () => {
    const argv = [
      '--model',
      'a/b',
      '--device=cuda:1',
      '--dtype',
      'bfloat16',
      '--host',
      '::',
      '--port',
      '0',
      '--log-level',
      'debug',
    ];
    const config = configOf({ argv });
    expect(config.model).toMatchObject({ path: join(folder, 'a/b'), name: 'b', device: 'cuda:1', dtype: 'bfloat16' });
    expect(config.server).toMatchObject({ host: '::', port: 0 });
    expect(config.logging.level).toBe('debug');
  });

  it('finds a model relative to where the server is started, also when its path ends in a slash', () => {
    expect(configOf({ env: { QWEN_MODEL_PATH: 'x/Qwen-Image/' } }).model).toMatchObject({
      path: join(folder, 'x/Qwen-Image'),
      name: 'Qwen-Image',
    });
    expect(configOf({ argv: ['--model', 'x', '--set', 'model.name=My model'] }).model.name).toBe('My model');
  });

  it('keeps jobs relative to where the server is started, when told where', () => {
    expect(configOf({ argv: ['--set', 'jobs.directory=kept/jobs'] }).jobs.directory).toBe(join(folder, 'kept/jobs'));
    expect(configOf({ env: { QWEN_JOBS_DIRECTORY: '/kept' } }).jobs.directory).toBe('/kept');
  });

  it.each([
    ['http://localhost:3000', 'http://localhost:3000'],
    ['https://images.example.com/v2/', 'https://images.example.com/v2'],
    ['https://例え.jp/Bücher/a b', null],
    ['https://例え.jp/Bücher/', 'https://xn--r8jz45g.jp/B%C3%BCcher'],
    ['https://x/a\u0001\u007f', 'https://x/a%01%7F'],
    ['https://xn--a/', null],
    ['https://x:99999', null],
  ])('keeps %s of the public URL and of the receiver of spans as %s', (url, kept) => {
    const settings = [`server.publicUrl=${url}`, `tracing.otlpEndpoint=${url}`];
    const given = { argv: settings.flatMap((setting) => ['--set', setting]) };
    if (kept === null) {
      const allowed = 'must be an http:// or https:// URL without user, query and fragment or null';
      const refused = (key: string) => `${key} (option --set): ${allowed}; got ${JSON.stringify(url)}`;
      expect(faultsOf(given)).toEqual([refused('server.publicUrl'), refused('tracing.otlpEndpoint')]);
    } else {
      const { server, tracing } = configOf(given);
      expect([server.publicUrl, tracing.otlpEndpoint]).toEqual([kept, kept]);
    }
  });

  it('takes null for the public URL', () => {
    expect(configOf({ env: { QWEN_SERVER_PUBLIC_URL: 'null' } }).server.publicUrl).toBeNull();
  });

  it('writes for people on a terminal, unless told otherwise', () => {
    expect(configOf({}, true).logging.format).toBe('pretty');
    expect(configOf({ env: { QWEN_LOGGING_FORMAT: 'json' } }, true).logging.format).toBe('json');
    expect(configOf({ yaml: 'logging: { format: pretty }' }).logging.format).toBe('pretty');
  });

  it('takes null where a setting has a meaning for it', () => {
    const yaml = 'model:\n  memoryBudget: 8000000000\n';
    expect(configOf({ yaml }).model.memoryBudget).toBe(8_000_000_000);
    expect(configOf({ yaml, argv: ['--set', 'model.memoryBudget=null'] }).model.memoryBudget).toBeNull();
  });

  it('takes lists as YAML, and as JSON in a variable or an option', () => {
    const yaml = 'server:\n  trustProxy: [loopback, "10.0.0.0/8", "fd00::/8"]\n  corsOrigins: ["*"]\n';
    const { server } = configOf({
      yaml,
      env: { QWEN_SERVER_CORS_ORIGINS: '["https://a.example:8443"]' },
      argv: ['--set', 'server.allowedHosts=["pictures.local"]'],
    });
    expect(server).toMatchObject({
      trustProxy: ['loopback', '10.0.0.0/8', 'fd00::/8'],
      corsOrigins: ['https://a.example:8443'],
      allowedHosts: ['pictures.local'],
    });
    expect(configOf({ argv: ['--set', 'server.trustProxy=2'] }).server.trustProxy).toBe(2);
  });

  it('takes keys as a list or as the path of its file, and reads only the file that counts', () => {
    const key = { name: 'alice', sha256: 'ab'.repeat(32) };
    const keys = [{ ...key, scopes: ['generate'] }];
    writeFileSync(join(folder, 'keys.json'), JSON.stringify([key]));
    expect(configOf({ yaml: 'auth:\n  keys: keys.json\n' }).auth.keys).toEqual(keys);
    expect(configOf({ yaml: `auth:\n  keys:\n  - name: alice\n    sha256: ${key.sha256}\n` }).auth.keys).toEqual(keys);
    expect(configOf({ yaml: 'auth:\n  keys: none.json\n', env: { QWEN_AUTH_KEYS: JSON.stringify([key]) } }).auth.keys).toEqual(
      keys,
    );
    expect(configOf({ yaml: 'auth:\n  keys: keys.json\n', argv: ['--set', 'auth.keys=null'] }).auth.keys).toBeNull();
  });

  it('accepts an empty file and empty groups', () => {
    expect(configOf({ yaml: '' })).toEqual(configOf({}));
    expect(configOf({ yaml: '# nothing\nserver:\nlimits: {}\n' })).toEqual(configOf({}));
  });

  it('freezes what it gives', () => {
    const config = configOf({});
    expect(Object.isFrozen(config) && Object.values(config).every((slice) => Object.isFrozen(slice))).toBe(true);
  });

  it('leaves alone the variables of others, those of the test scripts and those that Kubernetes makes', () => {
    const env = {
      PATH: '/bin',
      QWENX: '1',
      QWEN_SLOW: 'short',
      QWEN_IMAGE_SERVER_PORT: 'tcp://10.0.0.1:80',
      QWEN_IMAGE_SERVER_SERVICE_PORT_HTTP: '80',
      QWEN_IMAGE_SERVER_SERVICE_HOST: '10.0.0.1',
      QWEN_IMAGE_SERVER_PORT_80_TCP_ADDR: '10.0.0.1',
    };
    expect(faultsOf({ env })).toEqual([]);
  });

  it.each<[string, Given, string]>([
    [
      'a port that is no number',
      { argv: ['--port', 'abc'] },
      'server.port (option --port): must be an integer from 0 to 65535; got "abc"',
    ],
    [
      'a port out of range',
      { env: { QWEN_SERVER_PORT: '65536' } },
      'server.port (variable QWEN_SERVER_PORT): must be an integer from 0 to 65535; got 65536',
    ],
    ['a negative port', { argv: ['--port=-1'] }, 'server.port (option --port): must be an integer from 0 to 65535; got -1'],
    [
      'a hexadecimal port',
      { argv: ['--port', '0x10'] },
      'server.port (option --port): must be an integer from 0 to 65535; got "0x10"',
    ],
    [
      'a port with a fraction',
      { yaml: 'server:\n  port: 80.5\n' },
      'server.port (my.yaml:2): must be an integer from 0 to 65535; got 80.5',
    ],
    [
      'a port in quotes',
      { yaml: 'server:\n  port: "80"\n' },
      'server.port (my.yaml:2): must be an integer from 0 to 65535; got "80"',
    ],
    [
      'a null without meaning',
      { yaml: 'server:\n  port:\n' },
      'server.port (my.yaml:2): must be an integer from 0 to 65535; got null',
    ],
    [
      'an empty variable',
      { env: { QWEN_SERVER_HOST: '' } },
      'server.host (variable QWEN_SERVER_HOST): must be an address or a host name; got ""',
    ],
    [
      'a host that is a URL',
      { argv: ['--host', 'http://x/'] },
      'server.host (option --host): must be an address or a host name; got "http://x/"',
    ],
    ...[
      'images.example.com',
      'ftp://x',
      'https://',
      'https://x/?a=b',
      'https://x/#top',
      'https://me:secret@x/',
      'https://x/ y',
    ].map((url): [string, Given, string] => [
      `${url} as the public URL`,
      { argv: ['--set', `server.publicUrl=${url}`] },
      `server.publicUrl (option --set): must be an http:// or https:// URL without user, query and fragment or null; got "${url}"`,
    ]),
    [
      'a job that may wait for more than a week',
      { argv: ['--set', 'queue.timeoutMs=604800001'] },
      'queue.timeoutMs (option --set): must be an integer from 1 to 604800000; got 604800001',
    ],
    [
      'an empty folder of jobs',
      { env: { QWEN_JOBS_DIRECTORY: '' } },
      'jobs.directory (variable QWEN_JOBS_DIRECTORY): must be the path of a folder; got ""',
    ],
    ['an empty model', { argv: ['--model', ''] }, 'model.path (option --model): must be the path of a folder; got ""'],
    [
      'an unknown device',
      { argv: ['--device', 'mps'] },
      'model.device (option --device): must be auto, cpu, cuda or cuda:N; got "mps"',
    ],
    [
      'a dtype that is not offered',
      { argv: ['--dtype', 'float16'] },
      'model.dtype (option --dtype): must be auto | float32 | bfloat16; got "float16"',
    ],
    [
      'no threads',
      { argv: ['--set', 'model.threads=0'] },
      'model.threads (option --set): must be an integer from 1 to 1024 or auto; got 0',
    ],
    [
      'threads in words',
      { yaml: 'model: { threads: all }' },
      'model.threads (my.yaml:1): must be an integer from 1 to 1024 or auto; got "all"',
    ],
    [
      'a budget with a unit',
      { env: { QWEN_MODEL_MEMORY_BUDGET: '8GiB' } },
      'model.memoryBudget (variable QWEN_MODEL_MEMORY_BUDGET): must be an integer from 1048576 to 9007199254740991 or null; got "8GiB"',
    ],
    [
      'a list for a text',
      { yaml: 'model:\n  name: [a, b]\n' },
      'model.name (my.yaml:2): must be 1 to 128 printable characters or null; got ["a","b"]',
    ],
    [
      'another residency',
      { yaml: 'model:\n  residency: offload\n' },
      'model.residency (my.yaml:2): must be resident | sequential; got "offload"',
    ],
    [
      'a boolean in words',
      { env: { QWEN_DOCS_ENABLED: 'yes' } },
      'docs.enabled (variable QWEN_DOCS_ENABLED): must be true or false; got "yes"',
    ],
    [
      'a wrong level',
      { argv: ['--log-level', 'trace'] },
      'logging.level (option --log-level): must be error | warn | info | debug; got "trace"',
    ],
    [
      'a driver to come',
      { yaml: 'queue:\n  driver: redis\n' },
      'queue.driver (my.yaml:2): must be memory; got "redis", which is not built yet',
    ],
    ['a key to come', { yaml: 'loras:\n  directory: x\n' }, 'loras.directory (my.yaml:2): is not built yet'],
    [
      'a variable to come',
      { env: { QWEN_LORAS_DIRECTORY: 'loras' } },
      'QWEN_LORAS_DIRECTORY (variable QWEN_LORAS_DIRECTORY): is not built yet',
    ],
    ['a group to come', { yaml: 'controlnets:\n  canny: /x\n' }, 'controlnets (my.yaml:1): is not built yet'],
    [
      'an entry of a group to come',
      { argv: ['--set', 'controlnets.canny=/x'] },
      'controlnets.canny (option --set): is not built yet',
    ],
    ['a typo in a file', { yaml: 'server:\n  prot: 80\n' }, 'server.prot (my.yaml:2): is no setting; did you mean server.port?'],
    [
      'a typo in a variable',
      { env: { QWEN_MODEL_DEVISE: 'cpu' } },
      'QWEN_MODEL_DEVISE (variable QWEN_MODEL_DEVISE): is no setting; did you mean QWEN_MODEL_DEVICE?',
    ],
    [
      'a variable without its group',
      { env: { QWEN_PORT: '80' } },
      'QWEN_PORT (variable QWEN_PORT): is no setting; did you mean QWEN_SERVER_PORT?',
    ],
    [
      'a typo in --set',
      { argv: ['--set', 'model.vaetiling=never'] },
      'model.vaetiling (option --set): is no setting; did you mean model.vaeTiling?',
    ],
    ['an unknown key', { yaml: 'colour: blue\n' }, 'colour (my.yaml:1): is no setting'],
    ['a key that every object has', { yaml: '__proto__:\n  port: 80\n' }, '__proto__ (my.yaml:1): is no setting'],
    [
      'an unknown option',
      { argv: ['--prot', '80'] },
      '--prot (command line): is no option; did you mean --port? (--help lists them)',
    ],
    ['a word without an option', { argv: ['models/demo'] }, 'models/demo (command line): is no option; values belong behind one'],
    ['an option without its value', { argv: ['--port'] }, '--port (command line): needs a value: --port PORT'],
    ['an option that eats the next', { argv: ['--model', '--port', '80'] }, '--model (command line): needs a value: --model DIR'],
    ['--set without =', { argv: ['--set', 'server.port'] }, '--set (command line): must be KEY=VALUE; got "server.port"'],
    ['a flag with a value', { argv: ['--version=2'] }, '--version (command line): takes no value; got "2"'],
    [
      'a setting given twice',
      { argv: ['--port', '1', '--set', 'server.port=2'] },
      'server.port (option --set): is given twice on the command line',
    ],
    ['a group that is no group', { yaml: 'server: 80\n' }, 'server (my.yaml:1): must be a group of settings, one a line'],
    ['a file that is a list', { yaml: '- 1\n' }, 'YAML (my.yaml:1): must be a group of settings, one a line'],
    [
      'a key given twice in a file',
      { yaml: 'docs:\n  enabled: true\n  enabled: false\n' },
      'YAML (my.yaml:3): Map keys must be unique',
    ],
    ['a missing file', { argv: ['--config', 'none.yaml'] }, '--config (none.yaml): cannot be read: ENOENT'],
    [
      'sides that cross',
      { env: { QWEN_LIMITS_MIN_SIDE: '5000' }, argv: ['--set', 'limits.maxPixels=100000000'] },
      'limits.minSide (variable QWEN_LIMITS_MIN_SIDE): limits.minSide (5000) must not be above limits.maxSide (4096)',
    ],
    [
      'too few pixels for a side',
      { argv: ['--set', 'limits.maxPixels=1000'] },
      'limits.maxPixels (option --set): limits.maxPixels (1000) must hold a square of limits.minSide (32), rounded up to a multiple of 16',
    ],
    [
      'too few pixels for the first side that a picture can have',
      { argv: ['--set', 'limits.minSide=33', '--set', 'limits.maxPixels=2303'] },
      'limits.minSide (option --set): limits.maxPixels (2303) must hold a square of limits.minSide (33), rounded up to a multiple of 16',
    ],
    [
      'sides with no multiple between them',
      { argv: ['--set', 'limits.maxSide=47'], env: { QWEN_LIMITS_MIN_SIDE: '33' } },
      'limits.minSide (variable QWEN_LIMITS_MIN_SIDE): no multiple of 16, which sides are, lies between limits.minSide (33) and limits.maxSide (47)',
    ],
    [
      'a prompt that the tokenizer would take a minute for',
      { argv: ['--set', 'limits.maxPromptChars=131073'] },
      'limits.maxPromptChars (option --set): must be an integer from 1 to 131072; got 131073',
    ],
    [
      'a folder of models that is a file',
      { argv: ['--set', 'model.root=my.yaml'], yaml: '' },
      'model.root (option --set): must be the path of a folder; my.yaml is none',
    ],
    [
      'uploads that hold no file',
      { argv: ['--set', 'limits.uploadBytesInFlight=1000'] },
      'limits.uploadBytesInFlight (option --set): limits.uploadBytesInFlight (1000) must hold a file of limits.maxUploadBytes (20971520)',
    ],
    [
      'files that all uploads together cannot hold',
      { argv: ['--set', 'limits.maxUploadBytes=300000000'] },
      'limits.maxUploadBytes (option --set): limits.uploadBytesInFlight (268435456) must hold a file of limits.maxUploadBytes (300000000)',
    ],
    [
      'no time to decode',
      { argv: ['--set', 'limits.decodeTimeoutMs=0'] },
      'limits.decodeTimeoutMs (option --set): must be an integer from 1 to 3600000; got 0',
    ],
    [
      'every proxy',
      { yaml: 'server:\n  trustProxy: true\n' },
      'server.trustProxy (my.yaml:2): must be an integer from 0 to 16 or a list of addresses, subnets (10.0.0.0/8), loopback, linklocal, uniquelocal; got true',
    ],
    [
      'a subnet that is none',
      { argv: ['--set', 'server.trustProxy=["10.0.0.0/33"]'] },
      'server.trustProxy (option --set): must be an integer from 0 to 16 or a list of addresses, subnets (10.0.0.0/8), loopback, linklocal, uniquelocal; got ["10.0.0.0/33"]',
    ],
    [
      'a subnet that holds everybody',
      { argv: ['--set', 'server.trustProxy=["::/0"]'] },
      'server.trustProxy (option --set): must be an integer from 0 to 16 or a list of addresses, subnets (10.0.0.0/8), loopback, linklocal, uniquelocal; got ["::/0"]',
    ],
    [
      'a list that is broken',
      { env: { QWEN_SERVER_ALLOWED_HOSTS: '["a"' } },
      'server.allowedHosts (variable QWEN_SERVER_ALLOWED_HOSTS): must be a list of host names without a port; got "[\\"a\\""',
    ],
    [
      'an origin with a path',
      { yaml: 'server:\n  corsOrigins: [https://a.example/]\n' },
      'server.corsOrigins (my.yaml:2): must be a list of origins as browsers send them, such as https://app.example.com, or *; got ["https://a.example/"]',
    ],
    ...['https://例え.jp', 'https://a.example:443', 'https://a.example:99999', 'https://A.example', 'null'].map(
      (origin): [string, Given, string] => [
        `${origin} as an origin`,
        { argv: ['--set', `server.corsOrigins=["${origin}"]`] },
        `server.corsOrigins (option --set): must be a list of origins as browsers send them, such as https://app.example.com, or *; got ["${origin}"]`,
      ],
    ),
    [
      'a Redis limit without a Redis',
      { argv: ['--set', 'rateLimit.storage=redis'] },
      'rateLimit.storage (option --set): redis needs redis.url',
    ],
    [
      'a Redis URL, without telling its password',
      { argv: ['--set', 'redis.url=http://:secret@x'] },
      'redis.url (option --set): must be redis://[user:password@]host[:port][/database] or rediss:// or null',
    ],
    [
      'a wrong list of keys, without telling them',
      { env: { QWEN_AUTH_KEYS: '[{"name":"a","sha256":"secret"}]' } },
      'auth.keys (variable QWEN_AUTH_KEYS): key 1 (a) needs a sha256: 64 hexadecimal digits in quotes',
    ],
    [
      'keys whose JSON is broken, without telling them',
      { argv: ['--set', 'auth.keys=[{"name":"secret"'] },
      'auth.keys (option --set): must be a list of {name, sha256, scopes} or the path of a file that holds one',
    ],
    [
      'a missing file of keys',
      { argv: ['--set', 'auth.keys=no.json'] },
      'auth.keys (option --set): no.json cannot be read: ENOENT',
    ],
  ])('refuses %s', (_, given, message) => {
    expect(faultsOf(given)).toEqual([message]);
  });

  it('reports everything that is wrong at once', () => {
    const faults = faultsOf({
      yaml: 'server:\n  port: x\nlog: 1\n',
      env: { QWEN_DTYPE: '1' },
      argv: ['--device', 'tpu', '--nope'],
    });
    expect(faults.map((fault) => fault.split(' ')[0])).toEqual(['server.port', 'log', 'QWEN_DTYPE', 'model.device', '--nope']);
  });

  it('says in its message what to put right', () => {
    expect(() => load({ argv: ['--port', 'x', '--dtype', 'y'] })).toThrow(
      'The configuration is wrong:\n' +
        '  server.port (option --port): must be an integer from 0 to 65535; got "x"\n' +
        '  model.dtype (option --dtype): must be auto | float32 | bfloat16; got "y"',
    );
  });

  it('takes a share as a number from 0 to 1', () => {
    for (const [text, ratio] of [
      ['0', 0],
      ['0.25', 0.25],
      ['.5', 0.5],
      ['1', 1],
    ] as const) {
      expect(configOf({ argv: ['--set', `tracing.sampleRatio=${text}`] }).tracing.sampleRatio).toBe(ratio);
    }
    for (const text of ['1.1', '-0.1', '', '.', '1e-3', 'half']) {
      expect(faultsOf({ argv: ['--set', `tracing.sampleRatio=${text}`] })).toEqual([
        expect.stringMatching(/^tracing\.sampleRatio \(option --set\): must be a number from 0 to 1; got /),
      ]);
    }
  });

  it('refuses every key that is not built yet', () => {
    for (const key of plannedKeys)
      expect(faultsOf({ argv: ['--set', `${key}=1`] })).toEqual([`${key} (option --set): is not built yet`]);
  });

  it('explains itself, even beside faults', () => {
    const loaded = load({ argv: ['--help', '--port', 'x'] });
    if (loaded.kind !== 'help') throw new Error(loaded.kind);
    for (const { key } of settings) expect(loaded.text).toContain(key);
    expect(loaded.text).toMatch(/limits\.maxUploadBytes +20971520 /);
    expect(load({ argv: ['-h'] }).kind).toBe('help');
  });

  it('tells its version', () => {
    const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
    expect(load({ argv: ['--version'] })).toEqual({ kind: 'version', text: `qwen-image-server ${version}\n` });
  });
});

describe('settings', () => {
  it('have a default each in config/default.yaml, and one variable each', () => {
    const loaded = load({});
    if (loaded.kind !== 'config') throw new Error(loaded.kind);
    expect([...loaded.origins.keys()].sort()).toEqual(settings.map(({ key }) => key).sort());
    const variables = [...settings.map(({ key }) => key), ...plannedKeys].map(variableName);
    expect(new Set(variables).size).toBe(variables.length);
  });
});
