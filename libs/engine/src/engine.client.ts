import { AsyncResource } from 'node:async_hooks';
import { EngineError, type HostLostError } from './engine.error.js';
import type { EngineLog } from './engine.log.js';
import { EngineProcess, type EngineOptions, type JobMessage } from './engine.process.js';
import type { EngineState, EngineStatus, ModelChoice } from './engine.status.js';
import type { GenerateRequest, GenerateResult, Preview, Progress } from './engine.types.js';

export interface GenerateOptions {
  /** Stops this job alone; the engine looks at it between steps. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  onPreview?: (preview: Preview) => void;
}

interface OpenJob {
  resolve(result: GenerateResult): void;
  reject(error: EngineError): void;
  onProgress: GenerateOptions['onProgress'];
  onPreview: GenerateOptions['onPreview'];
}

/** How long a host may take to end by itself when its model is unloaded. */
const unloadGraceMs = 5000;
/** A load that takes too long may be ended by an unload. */
const unchangeable: Readonly<Record<'load' | 'unload', readonly EngineState[]>> = {
  load: ['starting', 'loading', 'unloading', 'stopped'],
  unload: ['unloading', 'stopped'],
};
/** Until an unload is likely to be over, and until somebody is likely to have loaded a model. */
const unloadingRetryAfterS = 5;
const unloadedRetryAfterS = 30;

/** The engine as the rest of the service sees it: a promise a job, a status, and a model that may be changed for another one. */
export class EngineClient {
  private process: EngineProcess;
  private readonly jobs = new Map<string, OpenJob>();
  private readonly listeners = new Set<(status: EngineStatus) => void>();
  /** Null: the process says how things are. */
  private phase: 'unloading' | 'unloaded' | null = null;
  private stopped = false;
  /** Of the processes before this one. */
  private restartsBefore = 0;
  /** Hosts are nobody's request, also where one had them started: their records must not carry its id for ever. */
  private readonly outside = new AsyncResource('EngineClient');
  private whenIdle: (() => void) | null = null;

  constructor(
    private readonly options: EngineOptions,
    private readonly log: EngineLog,
  ) {
    this.process = this.newProcess(options.model);
  }

  start(): void {
    this.outside.runInAsyncScope(() => this.process.start());
  }

  status(): EngineStatus {
    const ownStatus = this.process.status();
    const status = { ...ownStatus, restarts: this.restartsBefore + ownStatus.restarts };
    if (this.phase === 'unloading') return { ...status, state: 'unloading', retryAfterS: unloadingRetryAfterS };
    if (this.phase === 'unloaded') {
      const nothing = { model: null, stats: null, readySince: null, error: null, loadProgress: null };
      return { ...status, ...nothing, state: 'unloaded', retryAfterS: unloadedRetryAfterS };
    }
    return status;
  }

  /** Calls `listener` at every change until the function that it gives back is called. */
  onChange(listener: (status: EngineStatus) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Lets the running job end, then the host and with it all memory; resolves when that is done. Jobs that wait go on waiting.
   *
   * @throws EngineError ENGINE_UNAVAILABLE while another change is going on
   */
  async unload(): Promise<void> {
    this.assertChangeable('unload');
    if (this.phase !== 'unloaded') await this.empty();
    this.enter('unloaded');
  }

  /**
   * The same, and then a host with this model; resolves when its load has begun.
   *
   * @throws EngineError ENGINE_UNAVAILABLE while a model is being loaded or unloaded
   */
  async load(model: ModelChoice): Promise<void> {
    this.assertChangeable('load');
    // Of nothing nothing has to be waited for: who asks meanwhile sees the load.
    if (this.phase !== 'unloaded') await this.empty();
    if (this.stopped) return;
    this.restartsBefore = this.status().restarts;
    this.process = this.newProcess(model);
    this.enter(null);
    this.start();
  }

  /** @throws EngineError ENGINE_UNAVAILABLE */
  assertChangeable(change: 'load' | 'unload'): void {
    const { state } = this.status();
    if (unchangeable[change].includes(state)) {
      throw new EngineError('ENGINE_UNAVAILABLE', `the model cannot be changed while the engine is ${state}`);
    }
  }

  /** @throws HostLostError when the host ends; EngineError: ENGINE_UNAVAILABLE when no engine is ready, CANCELLED by `signal`, or its own. */
  async generate(jobId: string, request: GenerateRequest, options: GenerateOptions = {}): Promise<GenerateResult> {
    const { signal, onProgress, onPreview } = options;
    if (signal?.aborted) throw new EngineError('CANCELLED', 'cancelled before it began');
    const { state } = this.status();
    if (state !== 'ready') throw new EngineError('ENGINE_UNAVAILABLE', `the engine is ${state}`);
    if (this.jobs.has(jobId)) throw new EngineError('INTERNAL', `job ${jobId} is running already`);

    const cancel = () => this.process.send({ type: 'cancel', jobId });
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await new Promise<GenerateResult>((resolve, reject) => {
        this.jobs.set(jobId, { resolve, reject, onProgress, onPreview });
        this.process.send({ type: 'generate', jobId, request });
      });
    } finally {
      this.jobs.delete(jobId);
      if (this.jobs.size === 0) this.whenIdle?.();
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Ends the host: jobs that it still holds are rejected. Twice is fine. */
  async stop(graceMs: number): Promise<void> {
    this.stopped = true;
    this.phase = null;
    await this.process.stop(graceMs);
  }

  private newProcess(model: ModelChoice): EngineProcess {
    const process: EngineProcess = new EngineProcess({ ...this.options, model }, this.log, {
      onJobMessage: (message) => this.receive(message),
      onHostLost: (error) => this.rejectAll(error),
      // A process that was replaced has nothing more to say.
      onStatus: () => process === this.process && this.tell(),
    });
    return process;
  }

  /** No host any more. */
  private async empty(): Promise<void> {
    this.enter('unloading');
    if (this.jobs.size > 0) await new Promise<void>((resolve) => (this.whenIdle = resolve));
    this.whenIdle = null;
    await this.process.stop(unloadGraceMs);
  }

  private enter(phase: EngineClient['phase']): void {
    if (this.stopped) return;
    this.phase = phase;
    this.tell();
  }

  private tell(): void {
    const status = this.status();
    this.listeners.forEach((listener) => listener(status));
  }

  private receive(message: JobMessage): void {
    const job = this.jobs.get(message.jobId);
    switch (message.type) {
      case 'progress':
        return job?.onProgress?.(message.progress);
      case 'preview':
        return job?.onPreview?.(message.preview);
      case 'result':
        return job?.resolve(message.result);
      case 'failed':
        return job?.reject(new EngineError(message.error.code, message.error.message, { field: message.error.field }));
    }
  }

  private rejectAll(error: HostLostError): void {
    for (const job of this.jobs.values()) job.reject(error);
  }
}
