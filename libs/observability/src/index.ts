export { accessLog } from './access-log.middleware.js';
export { createLogger, createNestLogger } from './logger.js';
export { longSeconds, MetricsRegistry, shortSeconds, type Sampled } from './metrics-registry.js';
export { ObservabilityModule } from './observability.module.js';
export { currentContext, currentRequestId, extendContext, withContext, type RequestContext } from './request-context.js';
export { requestId } from './request-id.middleware.js';
