import { ApiProperty } from '@nestjs/swagger';

export class ModelDescription {
  @ApiProperty({ type: String, example: 'demo' })
  id: string;

  @ApiProperty({ type: String, example: 'QwenImagePipeline' })
  class: string;

  @ApiProperty({ enum: ['float32', 'bfloat16'] })
  dtype: string;

  @ApiProperty({ type: 'integer' })
  parameters: number;

  @ApiProperty({ type: String, description: "fingerprint of the model's files" })
  sha256: string;
}

export class DeviceDescription {
  @ApiProperty({ enum: ['cpu', 'cuda'] })
  type: string;

  @ApiProperty({ type: String })
  name: string;

  @ApiProperty({ type: 'integer' })
  threads: number;
}

export class RuntimeDescription {
  @ApiProperty({ type: String, example: '20.20.2' })
  node: string;

  @ApiProperty({ type: String, example: '2.13.0' })
  libtorch: string;

  @ApiProperty({ type: String, nullable: true })
  cuda: string | null;
}

const nullWhenOutside = 'null: it must be given, for what the model would choose is not within the limits';

export class GenerationDefaults {
  @ApiProperty({ type: 'integer', nullable: true, example: 256, description: nullWhenOutside })
  width: number | null;

  @ApiProperty({ type: 'integer', nullable: true, example: 256, description: nullWhenOutside })
  height: number | null;

  @ApiProperty({ type: 'integer', nullable: true, example: 20, description: nullWhenOutside })
  num_inference_steps: number | null;

  @ApiProperty({ type: 'number', example: 4 })
  true_cfg_scale: number;

  @ApiProperty({ type: String, example: ' ' })
  negative_prompt: string;
}

export class InfoResponse {
  @ApiProperty({ type: String, example: 'qwen-image-server' })
  name: string;

  @ApiProperty({ type: String, example: '0.1.0' })
  version: string;

  @ApiProperty({ type: ModelDescription })
  model: ModelDescription;

  @ApiProperty({ type: DeviceDescription })
  device: DeviceDescription;

  @ApiProperty({ type: RuntimeDescription })
  runtime: RuntimeDescription;

  @ApiProperty({ type: [String], description: 'generation routes that the loaded model serves' })
  routes: string[];

  @ApiProperty({ type: GenerationDefaults })
  defaults: GenerationDefaults;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'integer' },
    description: 'limits.* of the configuration and what the model asks for',
    example: { sizeMultiple: 16, minSide: 32, maxSide: 4096 },
  })
  limits: Record<string, number>;
}
