export { configurationGuide, environmentExample } from './configuration-guide.js';
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
export { loadConfig, loadDefaults, type ConfigInput, type LoadedConfig } from './load-config.js';
