import type { EngineClient } from '@app/engine';
import type { InferenceService } from '@app/inference';
import { Logger } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { setTimeout as delay } from 'node:timers/promises';

/** How long a job that was stopped may take to notice, and slow clients to fetch the answers that are there. */
const lastAnswersMs = 5000;
const engineGraceMs = 5000;

/** Order of the end: no new work, the running job, its answer, the engine, the port. */
export class Shutdown {
  private readonly logger = new Logger('Shutdown');
  private begun: Promise<void> | null = null;

  constructor(
    private readonly app: NestExpressApplication,
    private readonly inference: InferenceService,
    private readonly engine: EngineClient,
    /** How long the running job may still take. */
    private readonly graceMs: number,
  ) {}

  /** Twice is fine: the second call waits for the first. */
  run(): Promise<void> {
    return (this.begun ??= this.end());
  }

  private async end(): Promise<void> {
    this.logger.log('stopping: no new requests are taken');
    const drained = this.inference.drain(this.graceMs);
    await Promise.race([drained, delay(this.graceMs + lastAnswersMs, undefined, { ref: false })]);
    // A job that did not end in time is rejected with the engine, and so answered before the port closes.
    await this.engine.stop(engineGraceMs);
    await this.closeServer();
    this.logger.log('stopped');
  }

  private async closeServer(): Promise<void> {
    const server = this.app.getHttpServer();
    const idle = setInterval(() => server.closeIdleConnections(), 50);
    const slow = setTimeout(() => server.closeAllConnections(), lastAnswersMs);
    await this.app.close();
    clearInterval(idle);
    clearTimeout(slow);
  }
}
