import { MetricsRegistry } from '@app/observability';
import { Controller, Get, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { ApiErrors } from '../errors/error.response.js';

@ApiTags('metrics')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: MetricsRegistry) {}

  @Get()
  @ApiOperation({
    summary: 'Counters, levels and histograms for Prometheus',
    description: "In Prometheus' text format; absent when `metrics.enabled` is false.",
    operationId: 'getMetrics',
  })
  @ApiOkResponse({ description: 'the metrics', content: { 'text/plain': { schema: { type: 'string' } } } })
  @ApiErrors('UNAUTHENTICATED', 'FORBIDDEN', 'METHOD_NOT_ALLOWED')
  async read(@Res({ passthrough: true }) response: Response): Promise<string> {
    response.setHeader('Content-Type', this.metrics.contentType);
    return this.metrics.text();
  }
}
