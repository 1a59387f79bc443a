export type {
  ApiKey,
  AppConfig,
  JobsConfig,
  KeyScope,
  LimitsConfig,
  LogLevel,
  ModelConfig,
  QueueConfig,
  RateLimitConfig,
  ServerConfig,
} from './app-config.js';
export { ConfigError, type ConfigFault } from './config.error.js';
export { ConfigModule, configTokens } from './config.module.js';
export { loadConfig, type ConfigInput, type LoadedConfig } from './load-config.js';
