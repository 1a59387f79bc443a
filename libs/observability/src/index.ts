export { accessLog } from './access-log.middleware.js';
export { LogLevelSwitch } from './log-level.js';
export { createLogger, createNestLogger } from './logger.js';
export { longSeconds, MetricsRegistry, shortSeconds, type MetricsFormat, type Sampled } from './metrics-registry.js';
export { ObservabilityModule } from './observability.module.js';
export {
  currentContext,
  currentRequestId,
  extendContext,
  inContext,
  withContext,
  type RequestContext,
} from './request-context.js';
export { requestId } from './request-id.middleware.js';
export { routeOf } from './route-of.js';
export { noteToldError, toldError, toldStatus } from './told-status.js';
export { startTracing } from './tracing/start-tracing.js';
export { currentTraceparent, parentSpan, traceIdOf } from './tracing/trace-context.js';
export { traceRequests } from './tracing/trace-requests.middleware.js';
export { traced, tracedPast } from './tracing/tracing.js';
export { TracingInterceptor } from './tracing/tracing.interceptor.js';
