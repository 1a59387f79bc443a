export { HealthModule } from './health.module.js';
export { HealthResponse, ModelHealth } from './health.response.js';
export { ServiceHealth } from './service.health.js';
