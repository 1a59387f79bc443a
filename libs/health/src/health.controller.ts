import { applyDecorators, Controller, Get, HttpStatus, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiServiceUnavailableResponse, ApiTags } from '@nestjs/swagger';
import { HealthCheck, HealthCheckService, type HealthCheckResult, type HealthIndicatorFunction } from '@nestjs/terminus';
import type { Response } from 'express';
import { HealthResponse, ProbeResponse } from './health.response.js';
import { ServiceHealth } from './service.health.js';

const retryAfter = {
  'Retry-After': { description: 'seconds until another look is worth it', schema: { type: 'integer' } },
} as const;

/** A probe: its answer is the same for yes and for no, its status is not. */
function ApiProbe(): MethodDecorator {
  return applyDecorators(
    ApiOkResponse({ type: ProbeResponse, description: 'yes' }),
    ApiServiceUnavailableResponse({ type: ProbeResponse, description: 'no', headers: retryAfter }),
  );
}

/** Answers for people and load balancers; a refused probe is an answer, not an error. */
@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly service: ServiceHealth,
    private readonly checks: HealthCheckService,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'How the service is',
    description:
      'The state of the model, the engine, the queue and the device. 200 only when a generation sent now would be taken.',
    operationId: 'getHealth',
  })
  @ApiOkResponse({ type: HealthResponse, description: 'status is "ok"' })
  @ApiServiceUnavailableResponse({
    type: HealthResponse,
    description: 'any other status',
    headers: retryAfter,
  })
  report(@Res({ passthrough: true }) response: Response): HealthResponse {
    const report = this.service.report();
    if (report.status !== 'ok') this.refuse(response);
    return report;
  }

  @Get('live')
  @ApiOperation({
    summary: 'Whether the process turns',
    description: 'For a liveness probe: the event loop of the process turns, whatever the engine does.',
    operationId: 'getLiveness',
  })
  @HealthCheck({ noCache: true, swaggerDocumentation: false })
  @ApiProbe()
  live(@Res({ passthrough: true }) response: Response): Promise<HealthCheckResult> {
    // That this answer is written at all is what is asked for: the event loop turns.
    return this.probe(response, []);
  }

  @Get('ready')
  @ApiOperation({
    summary: 'Whether a generation sent now reaches a ready engine',
    description: 'For a readiness probe. A busy engine is ready, and so is a full queue.',
    operationId: 'getReadiness',
  })
  @HealthCheck({ noCache: true, swaggerDocumentation: false })
  @ApiProbe()
  ready(@Res({ passthrough: true }) response: Response): Promise<HealthCheckResult> {
    return this.probe(response, [() => this.service.ready()]);
  }

  @Get('startup')
  @ApiOperation({
    summary: 'Whether the first load has ended well',
    description: 'For a startup probe: once it is so it stays so, whatever comes later.',
    operationId: 'getStartup',
  })
  @HealthCheck({ noCache: true, swaggerDocumentation: false })
  @ApiProbe()
  startup(@Res({ passthrough: true }) response: Response): Promise<HealthCheckResult> {
    return this.probe(response, [() => this.service.startup()]);
  }

  private async probe(response: Response, indicators: HealthIndicatorFunction[]): Promise<HealthCheckResult> {
    try {
      return await this.checks.check(indicators);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      this.refuse(response);
      return error.getResponse() as HealthCheckResult;
    }
  }

  private refuse(response: Response): void {
    response.status(HttpStatus.SERVICE_UNAVAILABLE).setHeader('Retry-After', String(this.service.retryAfterS()));
  }
}
