import { Controller, Get, HttpStatus, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiServiceUnavailableResponse, ApiTags } from '@nestjs/swagger';
import { HealthCheck, HealthCheckService, type HealthCheckResult, type HealthIndicatorFunction } from '@nestjs/terminus';
import type { Response } from 'express';
import { HealthResponse } from './health.response.js';
import { ServiceHealth } from './service.health.js';

/** Answers for people and load balancers; a refused probe is an answer, not an error. */
@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly service: ServiceHealth,
    private readonly checks: HealthCheckService,
  ) {}

  @Get()
  @ApiOperation({ summary: 'How the service is', operationId: 'getHealth' })
  @ApiOkResponse({ type: HealthResponse, description: 'status is "ok"' })
  @ApiServiceUnavailableResponse({
    type: HealthResponse,
    description: 'any other status',
    headers: { 'Retry-After': { description: 'seconds until another look is worth it', schema: { type: 'integer' } } },
  })
  report(@Res({ passthrough: true }) response: Response): HealthResponse {
    const report = this.service.report();
    if (report.status !== 'ok') this.refuse(response);
    return report;
  }

  @Get('live')
  @ApiOperation({ summary: 'Whether the process turns', operationId: 'getLiveness' })
  @HealthCheck({ noCache: true, swaggerDocumentation: true })
  live(@Res({ passthrough: true }) response: Response): Promise<HealthCheckResult> {
    // That this answer is written at all is what is asked for: the event loop turns.
    return this.probe(response, []);
  }

  @Get('ready')
  @ApiOperation({ summary: 'Whether a generation sent now reaches a ready engine', operationId: 'getReadiness' })
  @HealthCheck({ noCache: true, swaggerDocumentation: true })
  ready(@Res({ passthrough: true }) response: Response): Promise<HealthCheckResult> {
    return this.probe(response, [() => this.service.ready()]);
  }

  @Get('startup')
  @ApiOperation({ summary: 'Whether the first load has ended well', operationId: 'getStartup' })
  @HealthCheck({ noCache: true, swaggerDocumentation: true })
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
