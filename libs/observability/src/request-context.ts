import { AsyncLocalStorage } from 'node:async_hooks';

/** Whose work is being done: every log record written meanwhile carries it. */
export interface RequestContext {
  requestId?: string;
  jobId?: string;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** Runs `work`, and all that it starts, under the context around it with `context` added. */
export function withContext<T>(context: RequestContext, work: () => T): T {
  return storage.run({ ...storage.getStore(), ...context }, work);
}

export function currentContext(): RequestContext {
  return storage.getStore() ?? {};
}

export function currentRequestId(): string | undefined {
  return currentContext().requestId;
}
