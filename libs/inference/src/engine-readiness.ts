import type { EngineClient, EngineStatus } from '@app/engine';
import { ServiceError } from './service.error.js';

const inWords: Record<EngineStatus['state'], string> = {
  starting: 'the engine is starting',
  loading: 'the model is being loaded',
  ready: 'the engine was lost and is starting again',
  restarting: 'the engine is being restarted',
  unloading: 'the model is being unloaded',
  unloaded: 'no model is loaded',
  failed: 'the engine has failed',
  stopped: 'the engine is stopped',
};

/** So many hosts in a row that do not come up are more than bad luck: whoever waits is told, while the engine goes on trying. */
const hopelessStarts = 3;

export function engineUnavailable({ state, retryAfterS }: EngineStatus, cause?: unknown): ServiceError {
  return new ServiceError('ENGINE_UNAVAILABLE', inWords[state], { retryAfterS: Math.max(1, retryAfterS), cause });
}

/** Resolves when the engine is ready; rejects when it is not likely to be soon (unless `patient`), or `signal` ends the wait. */
export function whenEngineReady(
  engine: Pick<EngineClient, 'status' | 'onChange'>,
  { signal, patient = false }: { signal?: AbortSignal; patient?: boolean } = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (status: EngineStatus): boolean => {
      if (status.state === 'ready') resolve();
      else if (!patient && isHopeless(status)) reject(engineUnavailable(status));
      else return false;
      return true;
    };
    if (settle(engine.status())) return;
    const done = () => {
      forget();
      signal?.removeEventListener('abort', giveUp);
    };
    const giveUp = () => {
      done();
      reject(signal?.reason as Error);
    };
    const forget = engine.onChange((status) => {
      if (settle(status)) done();
    });
    signal?.addEventListener('abort', giveUp);
    if (signal?.aborted) giveUp();
  });
}

function isHopeless({ state, failedStarts }: EngineStatus): boolean {
  return state === 'failed' || state === 'stopped' || failedStarts >= hopelessStarts;
}
