import { EngineError, type HostLostError } from './engine.error.js';
import type { EngineLog } from './engine.log.js';
import { EngineProcess, type EngineOptions, type JobMessage } from './engine.process.js';
import type { EngineStatus } from './engine.status.js';
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

/** The engine as the rest of the service sees it: a promise a job, and a status. */
export class EngineClient {
  private readonly process: EngineProcess;
  private readonly jobs = new Map<string, OpenJob>();
  private readonly listeners = new Set<(status: EngineStatus) => void>();

  constructor(options: EngineOptions, log: EngineLog) {
    this.process = new EngineProcess(options, log, {
      onJobMessage: (message) => this.receive(message),
      onHostLost: (error) => this.rejectAll(error),
      onStatus: (status) => this.listeners.forEach((listener) => listener(status)),
    });
  }

  start(): void {
    this.process.start();
  }

  status(): EngineStatus {
    return this.process.status();
  }

  /** Calls `listener` at every change until the function that it gives back is called. */
  onChange(listener: (status: EngineStatus) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
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
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Ends the host: jobs that it still holds are rejected. Twice is fine. */
  async stop(graceMs: number): Promise<void> {
    await this.process.stop(graceMs);
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
