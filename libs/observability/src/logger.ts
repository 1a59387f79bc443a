import type { AppConfig } from '@app/config';
import type { LoggerService } from '@nestjs/common';
import { WinstonModule } from 'nest-winston';
import { addColors, config, createLogger as createWinstonLogger, format, transports, type Logform, type Logger } from 'winston';
import { LogFields } from './log-fields.js';
import { currentContext } from './request-context.js';

/** Nest's levels beside our four: `fatal` is always written, `verbose` only with `debug`. */
const levels = { fatal: 0, error: 1, warn: 2, info: 3, debug: 4, verbose: 4 };
addColors({ ...config.npm.colors, fatal: 'red' });

/** Records of the whole process: JSON lines, or coloured text for people. `output` is stdout outside tests. */
export function createLogger(logging: AppConfig['logging'], output: NodeJS.WritableStream = process.stdout): Logger {
  const logger: Logger = createWinstonLogger({
    levels,
    level: logging.level,
    format: format.combine(
      withoutChatter(() => logger.level)(),
      gatherFields(new LogFields(logging))(),
      logging.format === 'json' ? jsonLine : prettyLine,
    ),
    transports: [new transports.Stream({ stream: output })],
  });
  surviveLossOf(output);
  return logger;
}

/** Whoever reads the log may end (`npm start | head`), and its disk may be full: the jobs go on, and stderr is told, if it is there. */
function surviveLossOf(output: NodeJS.WritableStream): void {
  const ignore = () => undefined;
  output.once('error', (error: Error) => {
    output.on('error', ignore);
    process.stderr.on('error', ignore);
    process.stderr.write(`the log cannot be written any more: ${error.message}\n`);
  });
}

/** The same logger as Nest's: every `new Logger(X.name)` of the application writes through it. */
export function createNestLogger(logger: Logger): LoggerService {
  return WinstonModule.createLogger({ instance: logger });
}

/** Nest tells each module and route of a start: news only to who looks for it. */
const chatty: readonly unknown[] = ['InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestFactory'];
function withoutChatter(level: () => string) {
  return format((info) => (level() !== 'debug' && info.level === 'info' && chatty.includes(info['context']) ? false : info));
}

/** Adds time and context, and makes every field plain data. */
function gatherFields(fieldsOf: LogFields) {
  return format((info) => {
    const { level, message, stack, ...rest } = info;
    const fields = fieldsOf.of({ ...currentContext(), ...rest, stack: stackText(stack) });
    const plain = { timestamp: new Date().toISOString(), level, message: text(fieldsOf.field(message)), ...fields };
    return Object.assign(plain, symbolFields(info));
  });
}

// nest-winston hands stacks over as [stack] or [undefined].
function stackText(stack: unknown): unknown {
  return Array.isArray(stack) ? stack.find((entry) => typeof entry === 'string') : stack;
}

// winston keeps the level that it filters by under symbols.
function symbolFields(info: Logform.TransformableInfo): Record<symbol, unknown> {
  return Object.fromEntries(Object.getOwnPropertySymbols(info).map((symbol) => [symbol, info[symbol]]));
}

// Fields are plain data by now, in the order in which a person reads them: no serializer that sorts.
const jsonLine = format.printf((info) => JSON.stringify(info));

const prettyLine = format.combine(
  format.colorize(),
  format.printf(({ timestamp, level, message, context, stack, ...rest }) => {
    const time = text(timestamp).slice(11, 23);
    const where = context === undefined ? '' : `[${text(context)}] `;
    const fields = Object.entries(rest).map(([key, value]) => ` ${key}=${text(value)}`);
    return `${time} ${level} ${where}${text(message)}${fields.join('')}${stack === undefined ? '' : `\n${text(stack)}`}`;
  }),
);

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
