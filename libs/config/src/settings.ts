/*
 * The one table of settings: what may be set, to what, and what for. Defaults are in config/default.yaml.
 * The loader, its messages and `--help` are all made from it.
 */

import { isIP } from 'node:net';

export type SettingKind =
  | { type: 'text'; pattern: RegExp; allowed: string }
  | { type: 'url' }
  | { type: 'integer'; min: number; max: number; words?: readonly string[] }
  | { type: 'number'; min: number; max: number }
  | { type: 'boolean' }
  | { type: 'choice'; choices: readonly string[]; planned?: readonly string[] }
  | { type: 'list'; isItem: (item: string) => boolean; allowed: string }
  | { type: 'either'; kinds: readonly SettingKind[] }
  | { type: 'keys' };

export interface Setting {
  key: string;
  kind: SettingKind;
  /** What null means; a setting without it cannot be null. */
  whenNull?: string;
  /** Messages do not tell what came. */
  secret?: true;
  description: string;
}

const printable = /^[^\p{Cc}\p{Cs}]+$/u;
const mebibyte = 1024 * 1024;
/** Well within what a timer can wait for. */
const weekMs = 7 * 86_400_000;

function count(min: number, max: number): SettingKind {
  return { type: 'integer', min, max };
}

function choice(...choices: string[]): SettingKind {
  return { type: 'choice', choices };
}

function list(allowed: string, pattern: RegExp): SettingKind {
  return { type: 'list', isItem: (item) => pattern.test(item), allowed };
}

/** What Express' trust proxy takes, without `true` and /0: those would let every client choose its address. */
const proxies: SettingKind = {
  type: 'list',
  isItem: (item) => ['loopback', 'linklocal', 'uniquelocal'].includes(item) || isSubnet(item),
  allowed: 'addresses, subnets (10.0.0.0/8), loopback, linklocal, uniquelocal',
};

function isSubnet(text: string): boolean {
  const [, address = '', prefix] = /^([^/]+)(?:\/([1-9]\d{0,2}))?$/.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && Number(prefix ?? 1) <= (version === 4 ? 32 : 128);
}

/** What a browser never sends (a path, a name in its own letters, a port that is the usual one) would let nobody in. */
function isOrigin(text: string): boolean {
  return text === '*' || (/^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text);
}

export const settings: readonly Setting[] = [
  {
    key: 'server.host',
    kind: { type: 'text', pattern: /^[\w.:-]+$/, allowed: 'an address or a host name' },
    description: 'address to listen on; 0.0.0.0 = reachable from other machines',
  },
  { key: 'server.port', kind: count(0, 65535), description: 'port to listen on; 0 = any free one' },
  {
    key: 'server.shutdownGraceMs',
    kind: count(0, 3_600_000),
    description: 'milliseconds that the running job may still take after SIGTERM',
  },
  {
    key: 'server.trustProxy',
    kind: { type: 'either', kinds: [count(0, 16), proxies] },
    description: 'proxies in front that tell the address of a client in X-Forwarded-For: how many, or which',
  },
  {
    key: 'server.allowedHosts',
    kind: list('host names without a port', /^([\w.-]{1,253}|\[[\da-f:.]+\])$/i),
    description: 'names beside localhost that a request may have in Host, on loopback and without auth.keys',
  },
  {
    key: 'server.corsOrigins',
    kind: { type: 'list', isItem: isOrigin, allowed: 'origins as browsers send them, such as https://app.example.com, or *' },
    description: 'origins whose pages may call the service from a browser; none = CORS is off',
  },
  {
    key: 'server.keepAliveMs',
    kind: count(1000, 3_600_000),
    description: 'how long an idle connection is kept: longer than a load balancer in front keeps it',
  },
  {
    key: 'server.publicUrl',
    kind: { type: 'url' },
    whenNull: 'none: they are relative',
    description: 'what clients reach the service by: the begin of the URLs in answers',
  },
  {
    key: 'model.path',
    kind: { type: 'text', pattern: printable, allowed: 'the path of a folder' },
    description: "model folder in diffusers' layout",
  },
  {
    key: 'model.name',
    kind: { type: 'text', pattern: /^[^\p{Cc}\p{Cs}]{1,128}$/u, allowed: '1 to 128 printable characters' },
    whenNull: "the folder's name",
    description: 'what the API calls the model',
  },
  {
    key: 'model.root',
    kind: { type: 'text', pattern: printable, allowed: 'the path of a folder' },
    whenNull: 'none: only model.path',
    description: 'folder of the models that POST /admin/model/load may choose from',
  },
  {
    key: 'model.device',
    kind: { type: 'text', pattern: /^(auto|cpu|cuda(:\d{1,3})?)$/, allowed: 'auto, cpu, cuda or cuda:N' },
    description: 'where the model runs; auto = the first GPU, else the processor',
  },
  {
    key: 'model.dtype',
    kind: choice('auto', 'float32', 'bfloat16'),
    description: 'arithmetic; auto = bfloat16 on a GPU, on a processor float32 where it fits',
  },
  {
    key: 'model.threads',
    kind: { type: 'integer', min: 1, max: 1024, words: ['auto'] },
    description: 'threads of one operation on a processor; auto = one a core',
  },
  {
    key: 'model.memoryBudget',
    kind: count(mebibyte, Number.MAX_SAFE_INTEGER),
    whenNull: 'what the device has',
    description: 'bytes that the engine may plan with',
  },
  {
    key: 'model.residency',
    kind: choice('resident', 'sequential'),
    description: 'sequential = text encoder, transformer and VAE take turns on the device',
  },
  {
    key: 'model.vaeTiling',
    kind: choice('auto', 'always', 'never'),
    description: 'pictures decoded in tiles; auto = above 2,097,152 pixels',
  },
  {
    key: 'prompt.specialTokens',
    kind: choice('allow', 'escape', 'reject'),
    description: 'what happens to special tokens that a prompt spells out',
  },
  { key: 'limits.minSide', kind: count(1, 16384), description: "pixels of a picture's shorter side" },
  { key: 'limits.maxSide', kind: count(1, 16384), description: "pixels of a picture's longer side" },
  { key: 'limits.maxPixels', kind: count(1, 16384 ** 2), description: 'width x height of a picture that is drawn' },
  { key: 'limits.maxSteps', kind: count(1, 10_000), description: 'denoising steps of a request' },
  { key: 'limits.maxImages', kind: count(1, 64), description: 'pictures of one request' },
  {
    key: 'limits.maxPromptChars',
    // The tokenizer composes (NFC) a run of combining marks in a time that grows with its square: a minute for a million.
    kind: count(1, 131_072),
    description: 'characters of a prompt',
  },
  { key: 'limits.maxUploadBytes', kind: count(1, 1024 * mebibyte), description: 'bytes of one uploaded file' },
  { key: 'limits.maxInputPixels', kind: count(1, 16384 ** 2), description: 'width x height of an uploaded picture' },
  { key: 'limits.maxInputImages', kind: count(1, 16), description: 'uploaded pictures of one request' },
  {
    key: 'limits.uploadBytesInFlight',
    kind: count(1, Number.MAX_SAFE_INTEGER),
    description:
      'bytes that all uploads, and JSON bodies above 64 KiB, may hold in memory together; one more is refused with 429',
  },
  {
    key: 'limits.decodeTimeoutMs',
    // sharp's own clock goes up to an hour.
    kind: count(1, 3_600_000),
    description: 'milliseconds that the decoding of an uploaded picture may take',
  },
  {
    key: 'queue.driver',
    kind: { type: 'choice', choices: ['memory'], planned: ['redis'] },
    description: 'where requests wait',
  },
  { key: 'queue.maxPending', kind: count(0, 100_000), description: 'requests that wait; the running one is not among them' },
  {
    key: 'queue.maxPendingPerClient',
    kind: count(0, 100_000),
    description: 'of those, the ones of one API key, else of one address',
  },
  {
    key: 'queue.timeoutMs',
    kind: count(1, weekMs),
    description: 'milliseconds from the acceptance of a request to its end, when timeout_ms does not say less',
  },
  {
    key: 'jobs.directory',
    kind: { type: 'text', pattern: printable, allowed: 'the path of a folder' },
    description: 'where jobs outlive the server; one server a folder',
  },
  {
    key: 'jobs.ttlMs',
    kind: count(1, weekMs),
    description: 'milliseconds that an ended job and its pictures are kept',
  },
  {
    key: 'jobs.maxBytes',
    kind: count(1, Number.MAX_SAFE_INTEGER),
    description:
      'bytes of all stored jobs; for new ones ended ones are forgotten, first those whose client has had the answer, then the oldest; what still does not fit is refused',
  },
  {
    key: 'jobs.disconnectGraceMs',
    kind: count(0, 86_400_000),
    description:
      'milliseconds that a request with an Idempotency-Key goes on when its connection is lost, for a retry to find it',
  },
  {
    key: 'engine.hangMs',
    // Two seconds are four of the host's signs of life.
    kind: count(2000, 86_400_000),
    description: 'milliseconds of silence after which an engine host is taken for hung, killed and started again',
  },
  {
    key: 'engine.stageFactor',
    kind: count(1, 1000),
    description: 'a stage of a job may be without progress for so many times its usual duration, and for engine.hangMs at least',
  },
  { key: 'rateLimit.enabled', kind: { type: 'boolean' }, description: 'limit of generation requests' },
  {
    key: 'rateLimit.limit',
    kind: count(1, 10_000),
    description: 'generation requests of one client in a window, valid or not',
  },
  { key: 'rateLimit.windowMs', kind: count(1000, 86_400_000), description: 'length of that window' },
  { key: 'rateLimit.storage', kind: choice('memory', 'redis'), description: 'where they are counted; redis = for all servers' },
  {
    key: 'redis.url',
    kind: {
      type: 'text',
      pattern: /^rediss?:\/\/[^\s/]\S*$/,
      allowed: 'redis://[user:password@]host[:port][/database] or rediss://',
    },
    whenNull: 'none',
    secret: true,
    description: 'the Redis of rateLimit.storage',
  },
  {
    key: 'auth.keys',
    kind: { type: 'keys' },
    whenNull: 'none: open to whoever reaches it',
    secret: true,
    description: 'API keys, by their SHA-256; scopes: generate (default), admin, metrics',
  },
  { key: 'logging.level', kind: choice('error', 'warn', 'info', 'debug'), description: 'least severe records that are written' },
  {
    key: 'logging.format',
    kind: choice('json', 'pretty'),
    whenNull: 'pretty on a terminal, else json',
    description: 'form of the log',
  },
  {
    key: 'logging.prompts',
    kind: { type: 'boolean' },
    description: 'records tell what was asked for; else prompts are hidden wherever they occur',
  },
  {
    key: 'tracing.otlpEndpoint',
    kind: { type: 'url' },
    whenNull: 'none: no spans are sent',
    description: 'OpenTelemetry receiver (OTLP over HTTP): spans go to its /v1/traces',
  },
  {
    key: 'tracing.sampleRatio',
    kind: { type: 'number', min: 0, max: 1 },
    description: 'share of the traces that begin here; one that a caller began is sampled as the caller says',
  },
  { key: 'docs.enabled', kind: { type: 'boolean' }, description: 'GET /docs and GET /openapi.json' },
  { key: 'metrics.enabled', kind: { type: 'boolean' }, description: 'GET /metrics for Prometheus' },
];

/** Keys that the design names and this build does not have: refused by name, so that nobody believes them to work. */
export const plannedKeys: readonly string[] = ['model.aliases', 'model.devices', 'loras.directory', 'controlnets'];
