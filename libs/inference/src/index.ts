export { Admission } from './admission.js';
export { InferenceModule } from './inference.module.js';
export { InferenceService } from './inference.service.js';
export { engineUnavailable } from './engine-readiness.js';
export { plainJobError, toJobError, type JobError, type JobErrorCode } from './job-error.js';
export type { JobView, JobWatch, Outcome, SubmittedJob } from './job-view.js';
export { Job } from './job.js';
export { endStates } from './job.types.js';
export type {
  EndState,
  Idempotency,
  JobEvent,
  JobImage,
  JobImageInfo,
  JobKind,
  JobOrder,
  JobOutcome,
  JobRecord,
  JobRequest,
  JobResult,
  JobState,
  JobTimings,
  JobWarning,
  OpenImage,
} from './job.types.js';
export { JobStorage, type StorageUse } from './job-storage.js';
export { askedParameters } from './parameters.js';
export { restartRetryAfterS } from './queue/end-reasons.js';
export type { JobTally, QueueDepth } from './queue/job-queue.js';
export { ServiceError, type FieldFault, type ServiceErrorCode } from './service.error.js';
export { SOFTWARE, type Software } from './software.js';
