export { InferenceModule } from './inference.module.js';
export { InferenceService, type Outcome } from './inference.service.js';
export { engineUnavailable } from './engine-readiness.js';
export type { JobTally, QueueDepth } from './job-queue.js';
export { endStates, Job, type EndState, type JobState } from './job.js';
export type { JobImage, JobKind, JobRequest, JobResult, JobTimings, JobWarning } from './job.js';
export { plainJobError, toJobError, type JobError, type JobErrorCode } from './job-error.js';
export { ServiceError, type FieldFault, type ServiceErrorCode } from './service.error.js';
export { SOFTWARE, type Software } from './software.js';
