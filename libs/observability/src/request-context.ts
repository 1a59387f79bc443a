import { AsyncLocalStorage } from 'node:async_hooks';

/** Whose work is being done: every log record written meanwhile carries it. */
export interface RequestContext {
  requestId?: string;
  /** Name of the API key that let the request in. */
  apiKey?: string;
  jobId?: string;
  /** Of the trace that the work belongs to. */
  traceId?: string;
  /** Of the job that a request waited for: what it waited, and what the engine took. */
  queueMs?: number;
  engineMs?: number;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** Runs `work`, and all that it starts, under the context around it with `context` added. */
export function withContext<T>(context: RequestContext, work: () => T): T {
  return storage.run({ ...storage.getStore(), ...context }, work);
}

/** Runs `work`, and all that it starts, under `context` alone: it is not the doing of whoever set it going. */
export function inContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}

/** Adds to the context of the work that runs already, for its records and those of whoever began it. */
export function extendContext(context: RequestContext): void {
  Object.assign(currentContext(), context);
}

export function currentContext(): RequestContext {
  return storage.getStore() ?? {};
}

export function currentRequestId(): string | undefined {
  return currentContext().requestId;
}
