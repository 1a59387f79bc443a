import type { Job, JobRequest } from './job.js';

/** How much one measurement moves the estimate. */
const weight = 0.3;

/** How long a job is likely to take, from those that have ended: their times, by the work they asked for. */
export class WorkEstimate {
  private msPerUnit: number | null = null;

  record(request: JobRequest, durationMs: number): void {
    const measured = durationMs / unitsOf(request);
    this.msPerUnit = this.msPerUnit === null ? measured : this.msPerUnit + weight * (measured - this.msPerUnit);
  }

  /** Milliseconds; 0 before anything was measured. */
  remainingMs({ request, startedAt }: Job, now = Date.now()): number {
    const totalMs = (this.msPerUnit ?? 0) * unitsOf(request);
    return startedAt === null ? totalMs : Math.max(0, totalMs - (now - startedAt));
  }
}

/** Pixels through the transformer: what the time of a job grows with, near enough to tell a client when to come again. */
function unitsOf({ generate }: JobRequest): number {
  const { width, height, numInferenceSteps, numImages, trueCfgScale, strength = 1 } = generate;
  const passes = Math.max(1, numInferenceSteps * strength) * (trueCfgScale > 1 ? 2 : 1);
  return width * height * numImages * passes;
}
