import { HostLostError } from './engine.error.js';
import type { EngineLog } from './engine.log.js';
import type { FromHost, HostFailure, SpecialTokens, ToHost } from './engine.messages.js';
import type { EngineState, EngineStatus, ModelChoice } from './engine.status.js';
import type { DeviceStats, LoadOptions, ModelInfo } from './engine.types.js';
import { HostProcess, type HostEntry, type HostExit } from './host/host-process.js';
import { RestartPolicy, type RestartLimits } from './host/restart-policy.js';
import { StageEstimate } from './host/stage-estimate.js';
import { Watchdog, type WatchdogLimits } from './host/watchdog.js';

export interface EngineOptions {
  host: HostEntry;
  model: ModelChoice;
  load: LoadOptions;
  specialTokens: SpecialTokens;
  watchdog: WatchdogLimits;
  restart?: RestartLimits;
}

/** Messages that belong to a job. */
export type JobMessage = Extract<FromHost, { jobId: string }>;

export interface EngineEvents {
  onJobMessage(message: JobMessage): void;
  /** The host is gone and every open job with it. */
  onHostLost(error: HostLostError): void;
  onStatus(status: EngineStatus): void;
}

// How long a first load may be expected to take, and how soon to look again where nothing is expected.
const unknownLoadMs = 15_000;
const finalRetryAfterS = 30;
const abandonedHostGraceMs = 1000;

/** Keeps one engine host alive: fork, handshake, load, and again after a death. */
export class EngineProcess {
  private state: EngineState = 'starting';
  private host: HostProcess | null = null;
  private watchdog: Watchdog | null = null;
  private restartTimer: NodeJS.Timeout | null = null;
  private restarts = 0;
  private failedStarts = 0;
  private wasReady = false;
  private readySince: number | null = null;
  private model: ModelInfo | null = null;
  private stats: DeviceStats | null = null;
  private error: HostFailure | null = null;
  private loadProgress: number | null = null;
  // On the clock of this process, which never jumps.
  private startedAt = performance.now();
  private readyAt = performance.now() + unknownLoadMs;
  private loadMs = unknownLoadMs;
  private readonly policy: RestartPolicy;
  private readonly stages = new StageEstimate();

  constructor(
    private readonly options: EngineOptions,
    private readonly log: EngineLog,
    private readonly events: EngineEvents,
  ) {
    this.policy = new RestartPolicy(options.restart);
  }

  start(): void {
    if (this.host || this.restartTimer || this.state !== 'starting') return;
    this.launch();
  }

  status(): EngineStatus {
    return {
      state: this.state,
      choice: this.options.model,
      loadProgress: this.loadProgress,
      restarts: this.restarts,
      failedStarts: this.failedStarts,
      readySince: this.readySince,
      model: this.model,
      stats: this.stats,
      hostPid: this.host?.pid ?? null,
      error: this.error,
      retryAfterS: this.retryAfterS(),
    };
  }

  send(message: ToHost): void {
    this.watchdog?.sent(message);
    this.host?.send(message);
  }

  async stop(graceMs: number): Promise<void> {
    if (this.restartTimer) clearTimeout(this.restartTimer);
    this.restartTimer = null;
    this.endWatch();
    this.changeState('stopped');
    await this.host?.stop(graceMs);
  }

  private launch(): void {
    this.startedAt = performance.now();
    this.readyAt = this.startedAt + this.loadMs;
    const host = new HostProcess(this.options.host, this.log, (message) => this.receive(host, message));
    this.host = host;
    this.log.log('info', 'engine host started', { pid: host.pid });
    void host.ended.then((exit) => this.buryHost(host, exit));
  }

  private receive(host: HostProcess, message: FromHost): void {
    this.watchdog?.received(message);
    switch (message.type) {
      case 'ready':
        if (this.state === 'starting') this.changeState('loading');
        host.send({
          type: 'load',
          folder: this.options.model.folder,
          options: this.options.load,
          specialTokens: this.options.specialTokens,
        });
        return;
      case 'loaded':
        this.becomeReady(host, message.model, message.stats);
        return;
      case 'load-progress':
        this.loadProgress = message.progress;
        return;
      case 'load-failed':
        this.refuseLoad(host, message.error);
        return;
      case 'stats':
        this.stats = message.stats;
        this.events.onStatus(this.status());
        return;
      case 'progress':
      case 'preview':
      case 'result':
      case 'failed':
        this.events.onJobMessage(message);
        return;
      case 'alive': // for the watchdog
    }
  }

  private becomeReady(host: HostProcess, model: ModelInfo, stats: DeviceStats): void {
    if (this.isOver()) return;
    this.model = model;
    this.stats = stats;
    this.loadProgress = null;
    this.error = null;
    this.wasReady = true;
    this.failedStarts = 0;
    this.readySince = performance.now();
    this.loadMs = Math.round(this.readySince - this.startedAt);
    this.log.log('info', 'model loaded', { class: model.class, dtype: model.dtype, device: model.device.id, ms: this.loadMs });
    // Not before: a load may hold up the host's event loop, and reports no stages.
    this.watchdog = new Watchdog(this.options.watchdog, this.stages, (reason) => this.killHung(host, reason));
    this.changeState('ready');
  }

  private killHung(host: HostProcess, reason: string): void {
    this.log.log('error', `the engine host hangs and is killed: ${reason}`, { pid: host.pid });
    this.endWatch();
    host.kill(`killed: ${reason}`);
  }

  private endWatch(): void {
    this.watchdog?.stop();
    this.watchdog = null;
  }

  /** A first load that is refused would be refused again; later the cause may pass, as memory that another process holds. */
  private refuseLoad(host: HostProcess, error: HostFailure): void {
    this.log.log('error', `the model cannot be loaded: ${error.message}`, { code: error.code });
    this.error = error;
    if (!this.wasReady && !this.isOver()) this.changeState('failed');
    void host.stop(abandonedHostGraceMs);
  }

  private buryHost(host: HostProcess, exit: HostExit): void {
    const readyForMs = this.readySince === null ? null : performance.now() - this.readySince;
    const lost = new HostLostError(`the engine host ended (${exit.reason})`);
    this.endWatch();
    this.host = null;
    this.loadProgress = null;
    this.readySince = null;
    this.stats = null;
    if (this.isOver()) {
      this.log.log('info', lost.message, { pid: host.pid });
    } else {
      this.log.log('error', lost.message, { pid: host.pid, lastLines: exit.lastLines });
      this.recover(lost, readyForMs, exit);
    }
    this.events.onHostLost(lost);
  }

  private recover(lost: HostLostError, readyForMs: number | null, exit: HostExit): void {
    const delayMs = this.policy.delayAfterDeath(readyForMs);
    if (readyForMs === null) this.failedStarts += 1;
    this.error = { code: lost.code, message: lost.message };
    if (!this.wasReady && this.policy.hopeless) {
      const lastLine = exit.lastLines.at(-1);
      if (lastLine) this.error.message += `: ${lastLine}`;
      this.changeState('failed');
      return;
    }
    this.readyAt = performance.now() + delayMs + this.loadMs;
    this.restartTimer = setTimeout(() => {
      this.restartTimer = null;
      this.restarts += 1;
      this.launch();
    }, delayMs);
    // Told at every death: whoever waits counts how often it was in vain.
    this.state = 'restarting';
    this.events.onStatus(this.status());
  }

  private isOver(): boolean {
    return this.state === 'failed' || this.state === 'stopped';
  }

  private retryAfterS(): number {
    if (this.state === 'ready') return 0;
    if (this.isOver()) return finalRetryAfterS;
    return Math.max(1, Math.ceil((this.readyAt - performance.now()) / 1000));
  }

  private changeState(state: EngineState): void {
    if (this.state === state) return;
    this.state = state;
    this.events.onStatus(this.status());
  }
}
