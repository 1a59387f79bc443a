import { EngineClient, findProjectRoot, type EngineState, type EngineStatus } from '@app/engine';
import { Admission, InferenceService, JobStorage, SOFTWARE, type Software } from '@app/inference';
import { Inject, Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import type { DeviceHealth, DiskHealth, HealthResponse, HealthStatus, ModelHealth } from './health.response.js';

const statusOf: Readonly<Record<EngineState, HealthStatus>> = {
  starting: 'loading',
  loading: 'loading',
  ready: 'ok',
  restarting: 'restarting',
  unloading: 'unloaded',
  unloaded: 'unloaded',
  failed: 'failed',
  stopped: 'unloaded',
};

const modelStateOf: Readonly<Record<EngineState, ModelHealth['state']>> = {
  starting: 'loading',
  loading: 'loading',
  ready: 'ready',
  restarting: 'loading',
  unloading: 'unloading',
  unloaded: 'unloaded',
  failed: 'failed',
  stopped: 'unloaded',
};

/** Waits that a client is told when the engine itself expects none. */
const ownRetryAfterS = 10;

/** What the parts of the service say of themselves. Nothing is asked of the engine: it may be busy, or gone. */
@Injectable()
export class ServiceHealth {
  private started = false;

  constructor(
    private readonly engine: EngineClient,
    private readonly inference: InferenceService,
    private readonly storage: JobStorage,
    private readonly admission: Admission,
    @Inject(SOFTWARE) private readonly software: Software,
    private readonly indicators: HealthIndicatorService,
  ) {
    const look = ({ model }: EngineStatus) => (this.started ||= model !== null);
    look(engine.status());
    engine.onChange(look);
  }

  report(): HealthResponse {
    const engine = this.engine.status();
    return {
      status: this.status(engine),
      model: this.model(),
      engine: {
        state: engine.state,
        restarts: engine.restarts,
        uptime_s: engine.state === 'ready' ? secondsSince(engine.readySince) : 0,
      },
      queue: this.inference.depth(),
      disk: this.disk(),
      device: deviceOf(engine),
      version: this.software.version,
      uptime_s: Math.floor(process.uptime()),
    };
  }

  model(): ModelHealth {
    const engine = this.engine.status();
    const { state, choice, loadProgress } = engine;
    return { id: choice.name, state: modelStateOf[state], progress: loadProgress, error: this.modelError(engine) };
  }

  /** Seconds until a 503 of today is worth another try. */
  retryAfterS(): number {
    const { state, retryAfterS } = this.engine.status();
    return this.inference.isDraining || state === 'ready' ? ownRetryAfterS : Math.max(1, retryAfterS);
  }

  /** A generation sent now would be accepted and reach a ready engine. A busy engine is ready, and so is a full queue. */
  isReady(): boolean {
    return this.status(this.engine.status()) === 'ok';
  }

  ready(): HealthIndicatorResult<'engine'> {
    const status = this.status(this.engine.status());
    const indicator = this.indicators.check('engine');
    return this.isReady() ? indicator.up({ state: status }) : indicator.down({ state: status });
  }

  /** The first load has ended well; whatever came later, and whether or not anybody has asked meanwhile. */
  startup(): HealthIndicatorResult<'model'> {
    const { state } = this.engine.status();
    const indicator = this.indicators.check('model');
    return this.started ? indicator.up() : indicator.down({ state: modelStateOf[state] });
  }

  /** Whoever asks gets this: paths of this machine are for the log alone. */
  private modelError({ state, error, choice }: EngineStatus): string | null {
    if (state === 'ready') return this.admission.refusalOfAll;
    if (state !== 'failed' || !error) return null;
    if (error.code !== 'INVALID_MODEL') return 'the engine cannot start; its log says why';
    const { name, folder } = choice;
    // What is recommended for a class of models is a file of this project.
    return error.message.replaceAll(`${folder}/`, '').replaceAll(folder, name).replaceAll(`${findProjectRoot()}/`, '');
  }

  private disk(): DiskHealth {
    const { jobsUsed, jobsMax, free, refusal } = this.storage.use();
    return { jobs_used: jobsUsed, jobs_max: jobsMax, free, error: refusal };
  }

  private status({ state }: EngineStatus): HealthStatus {
    if (this.inference.isDraining) return 'draining';
    return state === 'ready' && this.refusesAll() ? 'failed' : statusOf[state];
  }

  /** The engine is well, and every request would be refused all the same. */
  private refusesAll(): boolean {
    return this.storage.use().refusal !== null || this.admission.refusalOfAll !== null;
  }
}

function deviceOf({ model, stats }: EngineStatus): DeviceHealth | null {
  if (!model) return null;
  const { type, name } = model.device;
  return { type, name, memory_used: stats?.memoryUsed ?? null, memory_total: stats?.memoryTotal ?? null };
}

function secondsSince(time: number | null): number {
  return time === null ? 0 : Math.floor((performance.now() - time) / 1000);
}
