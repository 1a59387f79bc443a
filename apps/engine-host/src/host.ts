import {
  checkModelFolder,
  fingerprintModelFolder,
  largestThatFits,
  PromptEncoder,
  resolveDefaults,
  textToImageTemplate,
  toEngineError,
  EngineError,
  type Addon,
  type FromHost,
  type GenerateRequest,
  type HostFailure,
  type ModelInfo,
  type NativeEngine,
  type NativeModelInfo,
  type Preview,
  type Progress,
  type ToHost,
} from '@app/engine';
import { toNativeRequest } from './native-request.js';

type LoadMessage = Extract<ToHost, { type: 'load' }>;

const warmUpJobId = 'warm-up';
const loadProgressMs = 250;

/** Message to addon call to message. One load; generations run in the order in which they came (the addon's own queue). */
export class Host {
  private readonly engine: NativeEngine;
  private prompts: PromptEncoder | null = null;
  private closing = false;

  constructor(
    private readonly addon: Addon,
    private readonly send: (message: FromHost) => void,
    private readonly exit: (code: number) => void,
  ) {
    this.engine = new addon.Engine();
  }

  /** Settles when the message has been dealt with; never rejects. */
  async receive(message: ToHost): Promise<void> {
    switch (message.type) {
      case 'load':
        return this.load(message);
      case 'generate':
        return this.generate(message.jobId, message.request);
      case 'cancel':
        this.engine.cancel(message.jobId);
        return;
      case 'shutdown':
        return this.shutDown();
    }
  }

  async shutDown(): Promise<void> {
    this.closing = true;
    await this.engine.dispose().catch((error: unknown) => console.error(error));
    this.exit(0);
  }

  private async load(message: LoadMessage): Promise<void> {
    try {
      const model = await this.loadModel(message);
      this.send({ type: 'loaded', model, stats: this.engine.stats() });
    } catch (error) {
      if (!this.endWith(error)) this.send({ type: 'load-failed', error: failureOf(error) });
    }
  }

  private async loadModel({ folder, options, specialTokens }: LoadMessage): Promise<ModelInfo> {
    // Before the engine takes it up: a file that was not copied whole is told by its name and size.
    const { class: pipelineClass, recommended, tokenizer, weightBytes } = await checkModelFolder(folder);
    const prompts = new PromptEncoder(tokenizer, textToImageTemplate, specialTokens);
    const native = await this.tellProgress(weightBytes, this.engine.load(folder, options));
    const defaults = resolveDefaults(recommended, native);
    await this.warmUp(prompts, native, defaults);
    this.prompts = prompts;
    return {
      class: pipelineClass,
      dtype: native.dtype,
      parameters: native.parameters,
      sha256: await fingerprintModelFolder(folder),
      sizeMultiple: native.sizeMultiple,
      minSteps: native.minSteps,
      refusedTokens: prompts.refusedTokens,
      defaults,
      device: native.device,
      memory: native.memory,
      ...this.addon.buildInfo(),
    };
  }

  /** Models that take turns are built later: their load ends before all is taken. */
  private async tellProgress<T>(weightBytes: number, load: Promise<T>): Promise<T> {
    const before = this.addon.loadedBytes();
    const timer = setInterval(() => {
      const progress = Math.min(1, (this.addon.loadedBytes() - before) / weightBytes);
      this.send({ type: 'load-progress', progress });
    }, loadProgressMs);
    try {
      return await load;
    } finally {
      clearInterval(timer);
    }
  }

  /**
   * The first pass pays for mapped pages, kernels and thread teams: before ready, not in the first request. At the default size,
   * or the largest one of its shape that may be drawn.
   */
  private async warmUp(
    prompts: PromptEncoder,
    { minSteps, sizeMultiple, memory }: NativeModelInfo,
    { width, height, negativePrompt }: ModelInfo['defaults'],
  ): Promise<void> {
    const request: GenerateRequest = {
      prompt: 'a picture',
      negativePrompt,
      width,
      height,
      numInferenceSteps: minSteps,
      trueCfgScale: 1,
      seed: 0,
      numImages: 1,
      maxSequenceLength: 512,
    };
    const limits = { sizeMultiple, minSide: sizeMultiple, maxSide: Math.max(width, height), maxPixels: width * height };
    const size = largestThatFits(request, memory, limits);
    if (!size) return; // then every request is refused, with the reason
    await this.engine.generate(warmUpJobId, toNativeRequest(prompts, { ...request, ...size }).native, () => undefined);
  }

  private async generate(jobId: string, request: GenerateRequest): Promise<void> {
    try {
      if (!this.prompts) throw new EngineError('ENGINE_UNAVAILABLE', 'no model is loaded');
      const { native, warnings } = toNativeRequest(this.prompts, request);
      const result = await this.engine.generate(jobId, native, (event) => this.tell(jobId, event));
      this.send({ type: 'result', jobId, result: { ...result, warnings } });
    } catch (error) {
      if (this.endWith(error)) return;
      this.send({ type: 'failed', jobId, error: failureOf(error) });
    }
    this.tellStats();
  }

  private tellStats(): void {
    if (!this.prompts || this.closing) return;
    try {
      this.send({ type: 'stats', stats: this.engine.stats() });
    } catch (error) {
      // The job has its answer; a device that is lost fails the next one.
      console.error(error);
    }
  }

  /** A lost device answers a new process, if any: to the server this end is a crash, and the job is drawn by the next host. */
  private endWith(error: unknown): boolean {
    const { code, message } = toEngineError(error);
    if (code !== 'DEVICE_LOST') return false;
    console.error(`the device answers this process no more: ${message}`);
    this.exit(1);
    return true;
  }

  private tell(jobId: string, event: Progress | Preview): void {
    if ('picture' in event) this.send({ type: 'preview', jobId, preview: event });
    else this.send({ type: 'progress', jobId, progress: event });
  }
}

function failureOf(thrown: unknown): HostFailure {
  const { code, message, field } = toEngineError(thrown);
  if (code === 'INTERNAL') console.error(thrown);
  return { code, message, field };
}
