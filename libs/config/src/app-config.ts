/** Every setting of this build, validated and frozen. Names are those of config/default.yaml. */
export interface AppConfig {
  server: { host: string; port: number; shutdownGraceMs: number };
  model: ModelConfig;
  prompt: { specialTokens: 'allow' | 'escape' | 'reject' };
  limits: LimitsConfig;
  queue: { driver: 'memory'; maxPending: number };
  engine: { hangMs: number; stageFactor: number };
  logging: { level: LogLevel; format: 'json' | 'pretty' };
  docs: { enabled: boolean };
  metrics: { enabled: boolean };
}

export interface ModelConfig {
  /** Absolute path of a diffusers-layout folder. */
  path: string;
  /** Name told by the API; the folder's name unless configured. */
  name: string;
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
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
