import type { EngineClient, EngineStatus } from '@app/engine';
import { ServiceError } from './service.error.js';

const inWords: Record<EngineStatus['state'], string> = {
  starting: 'the engine is starting',
  loading: 'the model is being loaded',
  ready: 'the engine was lost and is starting again',
  restarting: 'the engine is being restarted',
  failed: 'the engine has failed',
  stopped: 'the engine is stopped',
};

export function engineUnavailable({ state, retryAfterS }: EngineStatus, cause?: unknown): ServiceError {
  return new ServiceError('ENGINE_UNAVAILABLE', inWords[state], { retryAfterS: Math.max(1, retryAfterS), cause });
}

/** Resolves when the engine is ready; rejects when it never will be again. */
export function whenEngineReady(engine: Pick<EngineClient, 'status' | 'onChange'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (status: EngineStatus): boolean => {
      if (status.state === 'ready') resolve();
      else if (status.state === 'failed' || status.state === 'stopped') reject(engineUnavailable(status));
      else return false;
      return true;
    };
    if (settle(engine.status())) return;
    const forget = engine.onChange((status) => {
      if (settle(status)) forget();
    });
  });
}
