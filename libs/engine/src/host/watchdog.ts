import type { FromHost, ToHost } from '../engine.messages.js';
import type { GenerateRequest, Progress, Stage } from '../engine.types.js';
import type { StageEstimate } from './stage-estimate.js';

export interface WatchdogLimits {
  /** Silence of the host after which it is taken for hung. */
  hangMs: number;
  /** A job's stage may be without progress for so many times its estimate, and for `hangMs` at least. */
  stageFactor: number;
}

interface WatchedJob {
  request: GenerateRequest;
  stage: Stage;
}

/** Nothing is known of how long this model takes here: only what is beyond any use is taken for hung. */
export const unknownStageMs = 3_600_000;
const longestTickMs = 1000;

/**
 * Tells a hung host by two silences: of its event loop, and of the job that it works on, which speaks by its progress and by the
 * weights that are loaded for it. Time is counted in ticks of this process
 * and not read from a clock: while this process was stopped or the machine slept, the host could say nothing either.
 */
export class Watchdog {
  private readonly tickMs: number;
  private readonly timer: NodeJS.Timeout;
  private hostSilentMs = 0;
  private jobSilentMs = 0;
  /** Weights that the host had taken up at its last sign of life. */
  private loadedBytes: number | null = null;
  /** In the order in which the host works on them: the first one runs. */
  private readonly jobs = new Map<string, WatchedJob>();

  constructor(
    private readonly limits: WatchdogLimits,
    private readonly estimate: StageEstimate,
    private readonly onHung: (reason: string) => void,
  ) {
    this.tickMs = Math.min(longestTickMs, Math.ceil(limits.hangMs / 8));
    this.timer = setInterval(() => this.tick(), this.tickMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  sent(message: ToHost): void {
    if (message.type !== 'generate') return;
    if (this.jobs.size === 0) this.jobSilentMs = 0;
    this.jobs.set(message.jobId, { request: message.request, stage: 'encode' });
  }

  received(message: FromHost): void {
    this.hostSilentMs = 0;
    if (message.type === 'alive') this.noteLoading(message.loadedBytes);
    if (!('jobId' in message)) return;
    this.jobSilentMs = 0;
    const job = this.jobs.get(message.jobId);
    if (!job) return;
    if (message.type === 'progress') {
      job.stage = stageAfter(message.progress, job.request);
      return;
    }
    if (message.type === 'preview') return; // amid the steps
    if (message.type === 'result') this.estimate.record(job.request, message.result.timings);
    this.jobs.delete(message.jobId);
  }

  /** Where models take turns, a stage begins by loading one, for as long as the disk needs. */
  private noteLoading(loadedBytes: number): void {
    if (this.loadedBytes !== null && loadedBytes !== this.loadedBytes) this.jobSilentMs = 0;
    this.loadedBytes = loadedBytes;
  }

  private tick(): void {
    this.hostSilentMs += this.tickMs;
    this.jobSilentMs += this.tickMs;
    const { hangMs } = this.limits;
    if (this.hostSilentMs > hangMs) {
      this.onHung(`no sign of life for ${hangMs} ms`);
      return;
    }
    const [job] = this.jobs.values();
    if (!job) return;
    const allowedMs = this.allowedMs(job);
    if (this.jobSilentMs > allowedMs) this.onHung(`no progress in stage ${job.stage} for ${Math.round(allowedMs)} ms`);
  }

  private allowedMs({ request, stage }: WatchedJob): number {
    const usualMs = this.estimate.ms(stage, request);
    return Math.max(this.limits.hangMs, usualMs === null ? unknownStageMs : this.limits.stageFactor * usualMs);
  }
}

/** What the engine works on when it has reported `progress`. */
function stageAfter({ stage, image, step, total }: Progress, { numImages }: GenerateRequest): Stage {
  if (stage === 'encode') return 'denoise';
  return stage === 'denoise' && image === numImages - 1 && step === total ? 'decode' : stage;
}
