import type { EngineErrorCode } from './engine.error.js';
import type { DeviceStats, ModelInfo } from './engine.types.js';

/**
 * `restarting`: from the death of a host until the next one is ready. `unloading`: the running job ends, then the host. After `failed`
 * and `unloaded` another load is the way on; `stopped` is final.
 */
export type EngineState = 'starting' | 'loading' | 'ready' | 'restarting' | 'unloading' | 'unloaded' | 'failed' | 'stopped';

/** A checkpoint, and what the API calls it. */
export interface ModelChoice {
  name: string;
  /** Absolute path. */
  folder: string;
}

export interface EngineStatus {
  state: EngineState;
  /** What is loaded, is to be, or was. */
  choice: ModelChoice;
  /** Part of the load that is done, 0 to 1; null when none is going on or nothing is known yet. */
  loadProgress: number | null;
  /** Hosts started after the first one. */
  restarts: number;
  /** Hosts in a row that ended before they were ready. */
  failedStarts: number;
  /** By `performance.now()`, which goes on when the wall clock is set; null unless ready. */
  readySince: number | null;
  /** What is loaded, or was before the host died. */
  model: ModelInfo | null;
  stats: DeviceStats | null;
  /** Null while there is none. */
  hostPid: number | null;
  /** Why the engine is failed or restarting. */
  error: { code: EngineErrorCode; message: string } | null;
  /** Seconds until the engine is likely to take a request; 0 when ready. */
  retryAfterS: number;
}
