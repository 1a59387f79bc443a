import type { EngineErrorCode } from './engine.error.js';
import type { DeviceStats, ModelInfo } from './engine.types.js';

/** `restarting`: from the death of a host until the next one is ready. `failed` and `stopped` are final. */
export type EngineState = 'starting' | 'loading' | 'ready' | 'restarting' | 'failed' | 'stopped';

export interface EngineStatus {
  state: EngineState;
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
