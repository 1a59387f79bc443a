/** One wrong setting. */
export interface ConfigFault {
  /** Key, option or variable as it was written. */
  key: string;
  /** `server.yaml:12`, `variable QWEN_SERVER_PORT`, `option --port`. */
  origin: string;
  /** What is allowed and what came. */
  message: string;
}

/** All that is wrong with a configuration, so that it can be put right in one go. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly faults: readonly ConfigFault[]) {
    const lines = faults.map(({ key, origin, message }) => `  ${key} (${origin}): ${message}`);
    super(`The configuration is wrong:\n${lines.join('\n')}`);
  }
}
