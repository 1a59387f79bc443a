import { configTokens, type LimitsConfig } from '@app/config';
import { EngineClient } from '@app/engine';
import { engineUnavailable, SOFTWARE, type Software } from '@app/inference';
import { Controller, Get, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../errors/error.response.js';
import { generationRoutes } from '../images/generation-routes.js';
import { usableDefaults } from '../images/usable-defaults.js';
import { InfoResponse } from './info.response.js';

@ApiTags('info')
@Controller('info')
export class InfoController {
  constructor(
    private readonly engine: EngineClient,
    @Inject(configTokens.limits) private readonly limits: LimitsConfig,
    @Inject(SOFTWARE) private readonly software: Software,
  ) {}

  @Get()
  @ApiOperation({
    summary: 'What is served, with which defaults and limits',
    description: 'The model, the device that it is on, the routes that it has, and what a request may ask for.',
    operationId: 'getInfo',
  })
  @ApiOkResponse({ type: InfoResponse, description: 'what is served' })
  @ApiErrors('UNAUTHENTICATED', 'FORBIDDEN', 'METHOD_NOT_ALLOWED', 'ENGINE_UNAVAILABLE')
  info(): InfoResponse {
    const status = this.engine.status();
    const { model } = status;
    if (!model) throw engineUnavailable(status);
    const { device, defaults, dtype, parameters, sha256, sizeMultiple, minSteps } = model;
    const usable = usableDefaults(defaults, this.limits);
    return {
      ...this.software,
      model: { id: status.choice.name, class: model.class, dtype, parameters, sha256 },
      device: { type: device.type, name: device.name, threads: device.threads },
      runtime: { node: process.versions.node, libtorch: model.libtorch, cuda: model.cuda },
      routes: [...generationRoutes],
      defaults: {
        width: usable.width,
        height: usable.height,
        num_inference_steps: usable.numInferenceSteps,
        true_cfg_scale: defaults.trueCfgScale,
        negative_prompt: defaults.negativePrompt,
      },
      limits: { sizeMultiple, minSteps, ...this.limits },
    };
  }
}
