import { ApiExtraModels, ApiProperty, getSchemaPath } from '@nestjs/swagger';

export const healthStatuses = ['ok', 'loading', 'restarting', 'draining', 'unloaded', 'failed'] as const;
export type HealthStatus = (typeof healthStatuses)[number];

export class ModelHealth {
  @ApiProperty({ type: String, example: 'demo', description: 'what is loaded, is to be, or was' })
  id: string;

  @ApiProperty({ enum: ['loading', 'ready', 'unloading', 'unloaded', 'failed'] })
  state: 'loading' | 'ready' | 'unloading' | 'unloaded' | 'failed';

  @ApiProperty({
    type: 'number',
    nullable: true,
    description: 'part of the load that is done, 0 to 1; null when it is not known',
  })
  progress: number | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'why it could not be loaded, or leaves no memory for any picture',
  })
  error: string | null;
}

export class EngineHealth {
  @ApiProperty({ enum: ['starting', 'loading', 'ready', 'restarting', 'unloading', 'unloaded', 'failed', 'stopped'] })
  state: string;

  @ApiProperty({ type: 'integer', description: 'how often the engine was started again' })
  restarts: number;

  @ApiProperty({ type: 'integer', description: 'seconds since the engine last became ready; 0 when it is not' })
  uptime_s: number;
}

export class QueueHealth {
  @ApiProperty({ type: 'integer', description: 'requests that wait' })
  pending: number;

  @ApiProperty({ type: 'integer' })
  running: number;

  @ApiProperty({ type: 'integer', description: 'how many may wait' })
  max: number;
}

export class DeviceHealth {
  @ApiProperty({ enum: ['cpu', 'cuda'] })
  type: 'cpu' | 'cuda';

  @ApiProperty({ type: String })
  name: string;

  @ApiProperty({ type: 'integer', nullable: true, description: 'bytes' })
  memory_used: number | null;

  @ApiProperty({ type: 'integer', nullable: true, description: 'bytes' })
  memory_total: number | null;
}

export class DiskHealth {
  @ApiProperty({ type: 'integer', description: 'bytes of all jobs, with what is kept free for their results' })
  jobs_used: number;

  @ApiProperty({ type: 'integer', description: 'bytes that all jobs together may have (`jobs.maxBytes`)' })
  jobs_max: number;

  @ApiProperty({
    type: 'integer',
    nullable: true,
    description: 'bytes that are free on the disk of `jobs.directory`, some seconds ago; null when it does not tell',
  })
  free: number | null;

  @ApiProperty({ type: String, nullable: true, description: 'why it took no job, some seconds ago; null when it takes them' })
  error: string | null;
}

export class HealthResponse {
  @ApiProperty({
    enum: healthStatuses,
    description:
      '`ok` only when a generation sent now would be accepted; `failed` when the model could not be loaded (`model.error`), leaves no ' +
      'memory for any picture (`model.error`), or no job can be stored (`disk.error`)',
  })
  status: HealthStatus;

  @ApiProperty({ type: ModelHealth })
  model: ModelHealth;

  @ApiProperty({ type: EngineHealth })
  engine: EngineHealth;

  @ApiProperty({ type: QueueHealth })
  queue: QueueHealth;

  @ApiProperty({ type: DiskHealth })
  disk: DiskHealth;

  @ApiProperty({ type: DeviceHealth, nullable: true, description: 'null until a model was loaded once' })
  device: DeviceHealth | null;

  @ApiProperty({ type: String, example: '0.1.0' })
  version: string;

  @ApiProperty({ type: 'integer' })
  uptime_s: number;
}

export class ProbeIndicator {
  @ApiProperty({ enum: ['up', 'down'] })
  status: 'up' | 'down';

  @ApiProperty({ type: String, required: false, description: 'the state that it is in' })
  state?: string;
}

const indicators = {
  type: 'object',
  additionalProperties: { $ref: getSchemaPath(ProbeIndicator) },
} as const;

/** What @nestjs/terminus answers. */
@ApiExtraModels(ProbeIndicator)
export class ProbeResponse {
  @ApiProperty({ enum: ['ok', 'error', 'shutting_down'] })
  status: 'ok' | 'error' | 'shutting_down';

  @ApiProperty({ ...indicators, description: 'what is well' })
  info: Record<string, ProbeIndicator>;

  @ApiProperty({ ...indicators, description: 'what is not' })
  error: Record<string, ProbeIndicator>;

  @ApiProperty({ ...indicators, description: 'both' })
  details: Record<string, ProbeIndicator>;
}
