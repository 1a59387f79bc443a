import { EngineError, HostLostError } from '@app/engine';
import { ImageDecoder, ImageEncoder } from '@app/image-processing';
import { Logger } from '@nestjs/common';
import { InferenceService } from './inference.service.js';
import { jobRequest } from '../../../test/fixtures/job-request.js';
import { JobRunner } from './job-runner.js';
import { MemoryJobQueue } from './memory.job-queue.js';
import { plainResult, ScriptedEngine } from '../../../test/fixtures/scripted-engine.js';

describe(InferenceService.name, () => {
  let engine: ScriptedEngine;
  let service: InferenceService;
  const never = new AbortController().signal;

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(() => {
    engine = new ScriptedEngine();
    const model = { name: 'demo', residency: 'resident' } as const;
    const decoder = new ImageDecoder({ maxInputPixels: 100, decodeTimeoutMs: 10_000 });
    const runner = new JobRunner(engine as never, decoder, new ImageEncoder(), model, { name: 'x', version: '0' });
    service = new InferenceService(engine as never, new MemoryJobQueue(runner, 2));
  });

  /** Makes the engine draw until it is cancelled; settles when it has begun. */
  function drawForEver(): Promise<void> {
    return new Promise((begun) => {
      engine.answer = (_id, _request, options) =>
        new Promise((_resolve, reject) => {
          const { signal } = options ?? {};
          signal?.addEventListener('abort', () => reject(new EngineError('CANCELLED', 'stopped between two steps')));
          begun();
        });
    });
  }

  it('gives the job with its result', async () => {
    const { job, result } = await service.generate(jobRequest(), never);
    expect(job.state).toBe('completed');
    expect(result.images).toHaveLength(1);
  });

  it('draws the same again when the host ends in the middle, and nobody notices', async () => {
    engine.answer = () => {
      engine.become({ state: 'restarting' });
      return Promise.reject(new HostLostError('the engine host ended (signal SIGKILL)'));
    };
    const outcome = service.generate(jobRequest(), never);
    await new Promise((resolve) => setImmediate(resolve));
    engine.answer = (_id, request) => Promise.resolve(plainResult(request));
    engine.become({ state: 'ready' });
    expect((await outcome).job).toMatchObject({ state: 'completed', attempt: 2 });
    expect(engine.requests).toHaveLength(2);
    expect(engine.requests[1]).toEqual(engine.requests[0]);
  });

  it('tells of the job as soon as it is accepted, and not of one that is refused', async () => {
    const begun = drawForEver();
    const client = new AbortController();
    const accepted: string[] = [];
    const ask = () => service.generate(jobRequest(), client.signal, ({ id }) => accepted.push(id));
    const outcomes = [ask(), ask(), ask()].map((outcome) => outcome.catch((error: unknown) => error));
    await begun;
    await expect(ask()).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    expect(new Set(accepted).size).toBe(3);
    client.abort();
    await Promise.all(outcomes);
    expect(service.tally()).toEqual({ accepted: 3, ended: { completed: 0, failed: 0, cancelled: 3 } });
  });

  it.each(['starting', 'loading', 'restarting', 'failed', 'stopped'] as const)(
    'takes nothing while the engine is %s',
    async (state) => {
      engine.become({ state, retryAfterS: 9 });
      await expect(service.generate(jobRequest(), never)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', retryAfterS: 9 });
      expect(engine.requests).toHaveLength(0);
    },
  );

  it('cancels the job of a client that has gone', async () => {
    const begun = drawForEver();
    const client = new AbortController();
    const outcome = service.generate(jobRequest(), client.signal);
    await begun;
    client.abort();
    await expect(outcome).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(service.depth()).toMatchObject({ pending: 0, running: 0 });
  });

  it('does not run the job of a client that has gone before it came', async () => {
    await expect(service.generate(jobRequest(), AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(engine.requests).toHaveLength(0);
  });

  it('takes nothing new while it drains', async () => {
    await service.drain(1000);
    expect(service.isDraining).toBe(true);
    await expect(service.generate(jobRequest(), never)).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: 'the server is stopping',
    });
  });
});
