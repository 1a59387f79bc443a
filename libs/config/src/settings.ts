/*
 * The one table of settings: what may be set, to what, and what for. Defaults are in config/default.yaml.
 * The loader, its messages and `--help` are all made from it.
 */

export type SettingKind =
  | { type: 'text'; pattern: RegExp; allowed: string }
  | { type: 'integer'; min: number; max: number; words?: readonly string[] }
  | { type: 'boolean' }
  | { type: 'choice'; choices: readonly string[]; planned?: readonly string[] };

export interface Setting {
  key: string;
  kind: SettingKind;
  /** What null means; a setting without it cannot be null. */
  whenNull?: string;
  description: string;
}

const printable = /^[^\p{Cc}\p{Cs}]+$/u;
const mebibyte = 1024 * 1024;

function count(min: number, max: number): SettingKind {
  return { type: 'integer', min, max };
}

function choice(...choices: string[]): SettingKind {
  return { type: 'choice', choices };
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
  { key: 'limits.maxPromptChars', kind: count(1, mebibyte), description: 'characters of a prompt' },
  { key: 'limits.maxUploadBytes', kind: count(1, 1024 * mebibyte), description: 'bytes of one uploaded file' },
  { key: 'limits.maxInputPixels', kind: count(1, 16384 ** 2), description: 'width x height of an uploaded picture' },
  { key: 'limits.maxInputImages', kind: count(1, 16), description: 'uploaded pictures of one request' },
  {
    key: 'queue.driver',
    kind: { type: 'choice', choices: ['memory'], planned: ['redis'] },
    description: 'where requests wait',
  },
  { key: 'queue.maxPending', kind: count(0, 100_000), description: 'requests that wait; the running one is not among them' },
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
  { key: 'logging.level', kind: choice('error', 'warn', 'info', 'debug'), description: 'least severe records that are written' },
  {
    key: 'logging.format',
    kind: choice('json', 'pretty'),
    whenNull: 'pretty on a terminal, else json',
    description: 'form of the log',
  },
  { key: 'docs.enabled', kind: { type: 'boolean' }, description: 'GET /docs and GET /openapi.json' },
  { key: 'metrics.enabled', kind: { type: 'boolean' }, description: 'GET /metrics for Prometheus' },
];

/** Keys that the design names and this build does not have: refused by name, so that nobody believes them to work. */
export const plannedKeys: readonly string[] = [
  'server.publicUrl',
  'server.trustProxy',
  'server.allowedHosts',
  'server.corsOrigins',
  'server.keepAliveMs',
  'model.aliases',
  'model.devices',
  'model.root',
  'limits.uploadBytesInFlight',
  'limits.decodeTimeoutMs',
  'queue.maxPendingPerClient',
  'queue.timeoutMs',
  'rateLimit.enabled',
  'rateLimit.limit',
  'rateLimit.windowMs',
  'rateLimit.storage',
  'redis.url',
  'auth.keys',
  'jobs.directory',
  'jobs.ttlMs',
  'jobs.maxBytes',
  'jobs.disconnectGraceMs',
  'loras.directory',
  'controlnets',
  'logging.prompts',
  'tracing.otlpEndpoint',
  'tracing.sampleRatio',
];
