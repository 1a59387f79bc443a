/** Every setting of this build, validated and frozen. Names are those of config/default.yaml. */
export interface AppConfig {
  server: ServerConfig;
  model: ModelConfig;
  prompt: { specialTokens: 'allow' | 'escape' | 'reject' };
  limits: LimitsConfig;
  queue: QueueConfig;
  jobs: JobsConfig;
  engine: { hangMs: number; stageFactor: number };
  rateLimit: RateLimitConfig;
  redis: { url: string | null };
  /** Null: everybody is let in. */
  auth: { keys: readonly ApiKey[] | null };
  logging: { level: LogLevel; format: 'json' | 'pretty'; prompts: boolean };
  /** As `publicUrl`; null: no spans are sent. */
  tracing: { otlpEndpoint: string | null; sampleRatio: number };
  docs: { enabled: boolean };
  metrics: { enabled: boolean };
}

export interface ServerConfig {
  host: string;
  port: number;
  shutdownGraceMs: number;
  /** Proxies in front whose X-Forwarded-For is believed: how many, or which. */
  trustProxy: number | readonly string[];
  allowedHosts: readonly string[];
  /** Empty: CORS is off. */
  corsOrigins: readonly string[];
  keepAliveMs: number;
  /** In ASCII and without a slash at its end; null: URLs in answers are relative. */
  publicUrl: string | null;
}

export interface QueueConfig {
  driver: 'memory';
  /** Waiting jobs; the running one is not among them. */
  maxPending: number;
  /** Of those, the ones of one client. */
  maxPendingPerClient: number;
  /** From the acceptance of a job to its end; a request may ask for less. */
  timeoutMs: number;
}

export interface JobsConfig {
  /** Absolute path of the folder in which jobs outlive the server. */
  directory: string;
  /** From the end of a job to when it is forgotten. */
  ttlMs: number;
  /** Of all stored jobs. */
  maxBytes: number;
  /** How long a job with an Idempotency-Key goes on for a client that has gone. */
  disconnectGraceMs: number;
}

export interface RateLimitConfig {
  enabled: boolean;
  /** Requests of one client within `windowMs`. */
  limit: number;
  windowMs: number;
  storage: 'memory' | 'redis';
}

export type KeyScope = 'generate' | 'admin' | 'metrics';

export interface ApiKey {
  /** What logs call it. */
  name: string;
  /** SHA-256 of the key itself, which is nowhere: 64 lower-case hexadecimal digits. */
  sha256: string;
  scopes: readonly KeyScope[];
}

export interface ModelConfig {
  /** Absolute path of a diffusers-layout folder. */
  path: string;
  /** Name told by the API; the folder's name unless configured. */
  name: string;
  /** Absolute path of a folder of such folders; null: none may be loaded but `path`. */
  root: string | null;
  device: string;
  dtype: 'auto' | 'float32' | 'bfloat16';
  threads: number | 'auto';
  memoryBudget: number | null;
  residency: 'resident' | 'sequential';
  vaeTiling: 'auto' | 'always' | 'never';
}

export interface LimitsConfig {
  minSide: number;
  maxSide: number;
  maxPixels: number;
  maxSteps: number;
  maxImages: number;
  maxPromptChars: number;
  maxUploadBytes: number;
  maxInputPixels: number;
  maxInputImages: number;
  /** Bytes of all uploads together. */
  uploadBytesInFlight: number;
  decodeTimeoutMs: number;
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
