import { EngineClient, EngineError } from '@app/engine';
import { ModelHealth, ServiceHealth } from '@app/health';
import { InferenceService, ServiceError } from '@app/inference';
import { Controller, HttpCode, Logger, Post, UseInterceptors } from '@nestjs/common';
import { ApiAcceptedResponse, ApiBody, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../errors/error.response.js';
import { JsonBodyInterceptor, SentJson, type JsonBody } from '../images/json-body.interceptor.js';
import { readAdminBody } from './admin-body.js';
import { ModelRoot } from './model-root.js';

const maxNameLength = 255;

class LoadBody {
  @ApiProperty({
    type: String,
    required: false,
    minLength: 1,
    maxLength: maxNameLength,
    example: 'demo',
    description: 'a folder in model.root; when it is left out, the model that is loaded, or was last',
  })
  model?: string;
}

/** Another model, or none, while the server runs. */
@ApiTags('admin')
@ApiErrors('INVALID_ARGUMENT', 'UNAUTHENTICATED', 'FORBIDDEN', 'METHOD_NOT_ALLOWED', 'PAYLOAD_TOO_LARGE')
@ApiErrors('UNSUPPORTED_MEDIA_TYPE', 'ENGINE_UNAVAILABLE')
@UseInterceptors(JsonBodyInterceptor)
@Controller('admin/model')
export class ModelController {
  private readonly logger = new Logger(ModelController.name);

  constructor(
    private readonly engine: EngineClient,
    private readonly inference: InferenceService,
    private readonly health: ServiceHealth,
    private readonly root: ModelRoot,
  ) {}

  @Post('load')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Load a model',
    description:
      'The running job ends first, then the model is unloaded and the other one loaded: `GET /health` tells how far it is. Jobs that wait are drawn by the new model, or fail with the reason why it cannot. Other requests get 503 meanwhile. After a load that failed, this route is the way on.',
    operationId: 'loadModel',
  })
  @ApiBody({
    type: LoadBody,
    required: false,
    examples: { again: { summary: 'the model that is loaded, or was last', value: {} }, named: { value: { model: 'demo' } } },
  })
  @ApiAcceptedResponse({ type: ModelHealth, description: 'it has begun' })
  async load(@SentJson() body: JsonBody): Promise<ModelHealth> {
    const { model = null } = readAdminBody(sentBody(body), { model: { fault: nameFault, required: false } });
    const choice = await this.root.find(model as string | null);
    return this.change('load', choice.name, () => this.engine.load(choice));
  }

  @Post('unload')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Unload the model',
    description: 'The running job ends first; then the memory is given back. Jobs that wait go on waiting for the next load.',
    operationId: 'unloadModel',
  })
  @ApiAcceptedResponse({ type: ModelHealth, description: 'it has begun' })
  unload(@SentJson() body: JsonBody): ModelHealth {
    readAdminBody(sentBody(body), {});
    return this.change('unload', '', () => this.engine.unload());
  }

  /** It begins at once and goes on behind the answer. */
  private change(what: 'load' | 'unload', name: string, begin: () => Promise<void>): ModelHealth {
    this.inference.assertNotDraining();
    try {
      this.engine.assertChangeable(what);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const retryAfterS = Math.max(1, this.engine.status().retryAfterS);
      throw new ServiceError('ENGINE_UNAVAILABLE', error.message, { retryAfterS });
    }
    this.logger.log(`an operator asks to ${what} the model ${name}`.trimEnd());
    begin().catch((error: unknown) => this.logger.error(`cannot ${what} the model: ${String(error)}`));
    return this.health.model();
  }
}

function nameFault(value: unknown): string | null {
  return typeof value === 'string' && value.length > 0 && value.length <= maxNameLength ? null : 'must be the name of a model';
}

/** None at all is fine: there is nothing that has to be said. */
function sentBody({ values = {}, source }: JsonBody): JsonBody {
  return { values, source };
}
