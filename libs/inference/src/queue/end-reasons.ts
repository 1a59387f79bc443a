import type { Job } from '../job.js';
import { ServiceError } from '../service.error.js';

/** Long enough for a rolling update or a supervisor to bring up the next server. */
export const restartRetryAfterS = 10;

export function cancelled(): ServiceError {
  return new ServiceError('CANCELLED', 'the job was cancelled');
}

export function late(timeoutMs: number): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', `the job had not ended after ${timeoutMs} ms`);
}

export function crashed({ attempt }: Job, cause?: unknown): ServiceError {
  return new ServiceError('ENGINE_CRASHED', `the engine or the server ended ${attempt} times under this job`, { cause });
}

export function interrupted(why = 'the server is stopping'): ServiceError {
  return new ServiceError('INTERRUPTED', why, { retryAfterS: restartRetryAfterS });
}

/** How a job ends that was stopped for this. */
export function stoppedState(reason: unknown): 'failed' | 'cancelled' {
  return reason instanceof ServiceError && reason.code === 'CANCELLED' ? 'cancelled' : 'failed';
}

export function isInterruption(reason: unknown): boolean {
  return reason instanceof ServiceError && reason.code === 'INTERRUPTED';
}
