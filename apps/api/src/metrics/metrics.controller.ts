import { MetricsRegistry, type MetricsFormat } from '@app/observability';
import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { ApiErrors } from '../errors/error.response.js';

const openMetrics = 'application/openmetrics-text; version=1.0.0';

@ApiTags('metrics')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: MetricsRegistry) {}

  @Get()
  @ApiOperation({
    summary: 'Counters, levels and histograms for Prometheus',
    description: "In Prometheus' text format, or in OpenMetrics for who prefers it; absent when `metrics.enabled` is false.",
    operationId: 'getMetrics',
  })
  @ApiOkResponse({
    description: 'the metrics',
    content: { 'text/plain': { schema: { type: 'string' } }, 'application/openmetrics-text': { schema: { type: 'string' } } },
  })
  @ApiErrors('UNAUTHENTICATED', 'FORBIDDEN', 'METHOD_NOT_ALLOWED')
  async read(@Req() request: Request, @Res({ passthrough: true }) response: Response): Promise<string> {
    const wanted = request.accepts('text/plain; version=0.0.4', openMetrics);
    const format: MetricsFormat = wanted === openMetrics ? 'openMetrics' : 'text';
    response.setHeader('Content-Type', this.metrics.contentType(format));
    response.vary('Accept');
    return this.metrics.text(format);
  }
}
