import type { EngineErrorCode } from './engine.error.js';
import type { DeviceStats, GenerateRequest, GenerateResult, LoadOptions, ModelInfo, Preview, Progress } from './engine.types.js';

/*
 * Messages between the api and its engine host. Both ends come from one build, so they are typed, not validated.
 * The channel is `fork` IPC with `serialization: 'advanced'`, which carries pixel buffers as they are.
 */

/** How often a host gives a sign of life. */
export const heartbeatMs = 500;

export type SpecialTokens = 'allow' | 'escape' | 'reject';

export type ToHost =
  | { type: 'load'; folder: string; options: LoadOptions; specialTokens: SpecialTokens }
  | { type: 'generate'; jobId: string; request: GenerateRequest }
  | { type: 'cancel'; jobId: string }
  | { type: 'shutdown' };

export interface HostFailure {
  code: EngineErrorCode;
  message: string;
  field?: string | undefined;
}

export type FromHost =
  | { type: 'ready' } // the addon is loaded; `load` may follow
  | { type: 'loaded'; model: ModelInfo; stats: DeviceStats }
  | { type: 'load-progress'; progress: number } // 0 to 1
  | { type: 'load-failed'; error: HostFailure }
  | { type: 'progress'; jobId: string; progress: Progress }
  | { type: 'preview'; jobId: string; preview: Preview }
  | { type: 'result'; jobId: string; result: GenerateResult }
  | { type: 'failed'; jobId: string; error: HostFailure }
  | { type: 'stats'; stats: DeviceStats }
  // Every `heartbeatMs`: the host's event loop turns. `loadedBytes`: of weights, since the process began.
  | { type: 'alive'; loadedBytes: number };
