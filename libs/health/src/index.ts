export { HealthModule } from './health.module.js';
export { HealthResponse, ModelHealth, ProbeResponse } from './health.response.js';
export { ServiceHealth } from './service.health.js';
