import { configTokens, type AppConfig, type ServerConfig } from '@app/config';
import type { JobRecord } from '@app/inference';
import { Inject, Injectable } from '@nestjs/common';

type LinkedJob = Pick<JobRecord, 'id' | 'token'>;

/** Where a job is found: relative, or below server.publicUrl. With API keys, every link lets whoever has it read this job. */
@Injectable()
export class JobLinks {
  private readonly base: string;
  private readonly withToken: boolean;

  constructor(
    @Inject(configTokens.server) { publicUrl }: Pick<ServerConfig, 'publicUrl'>,
    @Inject(configTokens.auth) { keys }: AppConfig['auth'],
  ) {
    this.base = publicUrl ?? '';
    this.withToken = keys !== null;
  }

  self(job: LinkedJob): string {
    return this.link(job, '');
  }

  events(job: LinkedJob): string {
    return this.link(job, '/events');
  }

  image(job: LinkedJob, index: number): string {
    return this.link(job, `/images/${index}`);
  }

  private link({ id, token }: LinkedJob, tail: string): string {
    return `${this.base}/jobs/${id}${tail}${this.withToken ? `?token=${encodeURIComponent(token)}` : ''}`;
  }
}
