import type { LogLevel } from '@app/config';

/** What of a logger decides which records are written. */
export interface Leveled {
  level: string;
}

/** The level of the log, which may change while the server runs. */
export class LogLevelSwitch {
  constructor(private readonly logger: Leveled) {}

  get level(): LogLevel {
    return this.logger.level as LogLevel;
  }

  set level(level: LogLevel) {
    this.logger.level = level;
  }
}
