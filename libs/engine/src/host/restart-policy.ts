export interface RestartLimits {
  firstDelayMs: number;
  maxDelayMs: number;
  /** A host that was ready for so long was healthy: the next death starts with the first delay again. */
  healthyAfterMs: number;
  /** A host that dies so often without ever having been ready will not come up. */
  maxDeathsBeforeReady: number;
}

export const defaultRestartLimits: RestartLimits = {
  firstDelayMs: 500,
  maxDelayMs: 30_000,
  healthyAfterMs: 60_000,
  maxDeathsBeforeReady: 3,
};

/** When a host that died is started again. */
export class RestartPolicy {
  private deaths = 0;

  constructor(private readonly limits: RestartLimits = defaultRestartLimits) {}

  /** The delay of the next start. `readyForMs` is how long the host that died had been ready, null when it never was. */
  delayAfterDeath(readyForMs: number | null): number {
    if (readyForMs !== null && readyForMs >= this.limits.healthyAfterMs) this.deaths = 0;
    this.deaths += 1;
    return Math.min(this.limits.maxDelayMs, this.limits.firstDelayMs * 2 ** (this.deaths - 1));
  }

  /** Only asked while no host has been ready yet. */
  get hopeless(): boolean {
    return this.deaths >= this.limits.maxDeathsBeforeReady;
  }
}
