export { HealthModule } from './health.module.js';
export { HealthResponse } from './health.response.js';
