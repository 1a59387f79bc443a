/** What the engine needs of a logger; a winston logger is one. */
export interface EngineLog {
  log(level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): unknown;
}
