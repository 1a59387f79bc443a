import type { LogLevel } from '@app/config';
import { LogLevelSwitch } from '@app/observability';
import { Controller, Get, Logger, Put, UseInterceptors } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../errors/error.response.js';
import { JsonBodyInterceptor, SentJson, type JsonBody } from '../images/json-body.interceptor.js';
import { readAdminBody } from './admin-body.js';

/** The strictest first. */
const levels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];

class LogLevelBody {
  @ApiProperty({ enum: levels, example: 'debug', description: 'least severe records that are written' })
  level: LogLevel;
}

@ApiTags('admin')
@ApiErrors('UNAUTHENTICATED', 'FORBIDDEN', 'METHOD_NOT_ALLOWED')
@Controller('admin/log-level')
export class LogLevelController {
  private readonly logger = new Logger(LogLevelController.name);

  constructor(private readonly log: LogLevelSwitch) {}

  @Get()
  @ApiOperation({
    summary: 'The level of the log',
    description: 'Records that are less severe are not written.',
    operationId: 'getLogLevel',
  })
  @ApiOkResponse({ type: LogLevelBody, description: 'the level' })
  read(): LogLevelBody {
    return { level: this.log.level };
  }

  @Put()
  @UseInterceptors(JsonBodyInterceptor)
  @ApiOperation({
    summary: 'Change the level of the log',
    description: 'Until the server ends: the next one begins with `logging.level`.',
    operationId: 'putLogLevel',
  })
  @ApiBody({ type: LogLevelBody, examples: { debug: { summary: 'everything', value: { level: 'debug' } } } })
  @ApiOkResponse({ type: LogLevelBody, description: 'the level as it is now' })
  @ApiErrors('INVALID_ARGUMENT', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE')
  change(@SentJson() body: JsonBody): LogLevelBody {
    const fault = (value: unknown) => (levels.some((level) => level === value) ? null : `must be ${levels.join(' | ')}`);
    const { level } = readAdminBody(body, { level: { fault, required: true } });
    this.switchTo(level as LogLevel);
    return this.read();
  }

  /** One record tells why the log changes, written at the looser of the two levels: `error` alone would leave it out. */
  private switchTo(level: LogLevel): void {
    const before = this.log.level;
    const tell = () => this.logger.warn(`the level of the log was ${before} and is ${level}`);
    const getsStricter = levels.indexOf(level) < levels.indexOf(before);
    if (getsStricter) tell();
    this.log.level = level;
    if (!getsStricter && level !== before) tell();
  }
}
