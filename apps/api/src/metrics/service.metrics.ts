import { endStates, InferenceService, JobStorage } from '@app/inference';
import { MetricsRegistry } from '@app/observability';
import { Injectable } from '@nestjs/common';

/** Counts of jobs and of requests that became none. Jobs are counted by the queue: those of one answer always add up. */
@Injectable()
export class ServiceMetrics {
  private readonly rejected;

  constructor(inference: InferenceService, storage: JobStorage, metrics: MetricsRegistry) {
    this.rejected = metrics.counter(
      'qwen_image_requests_rejected_total',
      'Requests for pictures that were refused and became no job, by error code',
      ['reason'],
    );
    metrics.mirrorCount('qwen_image_jobs_accepted_total', 'Jobs that were accepted', () => inference.tally().accepted);
    metrics.mirrorCount(
      'qwen_image_jobs_ended_total',
      'Jobs that have ended, by how',
      () => {
        const { ended } = inference.tally();
        return endStates.map((status) => [{ status }, ended[status]] as const);
      },
      ['status'],
    );
    metrics.mirrorLevel('qwen_image_jobs_pending', 'Jobs that wait', () => inference.depth().pending);
    metrics.mirrorLevel('qwen_image_jobs_running', 'Jobs that run', () => inference.depth().running);
    metrics.mirrorLevel('qwen_image_queue_capacity', 'Jobs that may wait', () => inference.depth().max);
    metrics.mirrorLevel('qwen_image_jobs_stored_bytes', 'Of all jobs, with what is kept free for their results', () => {
      return storage.use().jobsUsed;
    });
    metrics.mirrorLevel('qwen_image_jobs_stored_max_bytes', 'That all jobs together may have', () => storage.use().jobsMax);
    metrics.mirrorLevel('qwen_image_disk_free_bytes', 'Free on the disk of the jobs', () => storage.use().free ?? []);
  }

  countRefusal(reason: string): void {
    this.rejected.inc({ reason });
  }
}
