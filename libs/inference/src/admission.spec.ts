import { demoModel, ScriptedEngine } from '../../../test/fixtures/scripted-engine.js';
import { jobRequest } from '../../../test/fixtures/job-request.js';
import { memoryNeeded } from '@app/engine';
import { Logger } from '@nestjs/common';
import { Admission } from './admission.js';
import type { JobRequest } from './job.types.js';

const limits = { minSide: 32, maxSide: 4096, maxPixels: 4194304, maxSteps: 200 };
const { memory } = demoModel;

function sized(width: number, height: number, numImages = 1): JobRequest {
  const { generate } = jobRequest();
  return jobRequest({ generate: { ...generate, width, height, numImages } });
}

/** An admission whose budget holds just what `request` needs. */
function admissionFor(request: JobRequest): Admission {
  const engine = new ScriptedEngine();
  const budget = memoryNeeded({ ...request.generate, previews: 0 }, memory);
  engine.become({ model: { ...demoModel, memory: { ...memory, budget } } });
  return new Admission(engine as never, limits);
}

describe(Admission.name, () => {
  beforeAll(() => void Logger.overrideLogger(false));

  it('lets in what fits to the byte, and nothing larger', () => {
    const admission = admissionFor(sized(512, 256));
    expect(() => admission.assertFits(sized(512, 256), { previews: 0 })).not.toThrow();
    expect(() => admission.assertFits(sized(528, 256), { previews: 0 })).toThrow(
      expect.objectContaining({ code: 'REQUEST_TOO_LARGE' }),
    );
  });

  it('names the largest size of the same shape that fits', () => {
    const admission = admissionFor(sized(512, 256));
    expect(() => admission.assertFits(sized(2048, 1024), { previews: 0 })).toThrow(
      /one image of 2048x1024 needs about \d+ of \d+ MiB of memory; the largest size of this shape that fits is 512x256/,
    );
    expect(() => admission.assertFits(sized(512, 256), { previews: 0 })).not.toThrow();
  });

  it('says so when no size fits', () => {
    const admission = admissionFor(sized(32, 32));
    const request = sized(64, 64, 4);
    const prompt = 'word '.repeat(2000);
    expect(() => admission.assertFits({ ...request, generate: { ...request.generate, prompt } }, { previews: 0 })).toThrow(
      'no size of this shape fits',
    );
  });

  it('does not ask the client for less when nothing that it could ask for fits', () => {
    const engine = new ScriptedEngine();
    engine.become({ model: { ...demoModel, memory: { ...memory, budget: memory.resident } } });
    const admission = new Admission(engine as never, limits);
    expect(() => admission.assertFits(sized(64, 64), { previews: 0 })).toThrow(
      'no picture of this shape fits beside the model: the server needs more memory, or a larger model.memoryBudget',
    );
  });

  describe('when not even the smallest picture fits', () => {
    let engine: ScriptedEngine;
    let admission: Admission;
    beforeEach(() => {
      engine = new ScriptedEngine();
      admission = new Admission(engine as never, { ...limits, minSide: 60 });
    });
    const { generate } = jobRequest();
    const smallest = { ...generate, prompt: ' ', width: 64, height: 64, numImages: 1, numInferenceSteps: 2, trueCfgScale: 1 };
    const least = memoryNeeded({ ...smallest, maxSequenceLength: 1, previews: 0 }, memory);
    const become = (budget: number) => engine.become({ model: { ...demoModel, memory: { ...memory, budget } } });

    it('says so, to the byte', () => {
      expect(admission.refusalOfAll).toBeNull();
      become(least);
      expect(admission.refusalOfAll).toBeNull();
      become(least - 1);
      expect(admission.refusalOfAll).toBe(
        'no picture fits beside the model: the server needs more memory, or a larger model.memoryBudget',
      );
      engine.become({ model: null });
      expect(admission.refusalOfAll).toBeNull();
    });

    it('has a line for it when a model comes that leaves too little, and one when another comes', () => {
      const error = jest.spyOn(Logger.prototype, 'error').mockImplementation();
      const log = jest.spyOn(Logger.prototype, 'log').mockImplementation();
      become(least);
      become(least - 1);
      engine.become({ state: 'restarting', model: null });
      become(least - 1);
      become(least);
      expect(error.mock.calls).toEqual([
        [expect.stringMatching(/^demo can draw nothing, the service is not ready: no picture fits beside the model: /)],
      ]);
      expect(log.mock.calls).toEqual([['demo can draw again']]);
      jest.restoreAllMocks();
    });
  });

  it('takes nothing when a request may not have the steps that the model needs', () => {
    const refusalWith = (maxSteps: number) => new Admission(new ScriptedEngine() as never, { ...limits, maxSteps }).refusalOfAll;
    expect([demoModel.minSteps, refusalWith(2)]).toEqual([2, null]);
    expect(refusalWith(1)).toBe('limits.maxSteps (1) is below the 2 steps that the model needs at least');
  });

  it('counts the start picture', () => {
    const admission = admissionFor(sized(64, 64));
    const file = { field: 'image', bytes: Buffer.alloc(0), size: { width: 4000, height: 4000 } };
    expect(() => admission.assertFits(sized(64, 64), { previews: 0 }, file.size)).toThrow(
      expect.objectContaining({
        code: 'REQUEST_TOO_LARGE',
        faults: [{ field: 'image', message: expect.stringMatching(/^of 4000x4000 takes more memory than is left/) }],
      }),
    );
    expect(() => admission.assertFits(sized(512, 64), { previews: 0 }, file.size)).toThrow(/^one image of 512x64 needs about/);
  });

  it('refuses what a model that was loaded meanwhile cannot draw, and says which', () => {
    const engine = new ScriptedEngine();
    const admission = new Admission(engine as never, limits);
    const request = sized(528, 256);
    expect(() => admission.assertStillFits(request, { previews: 0 })).not.toThrow();
    engine.become({ choice: { name: 'other', folder: '/models/other' }, model: { ...demoModel, sizeMultiple: 32 } });
    expect(() => admission.assertStillFits(request, { previews: 0 })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_BY_MODEL',
        message: 'other, which was loaded while the request waited, draws sizes that are multiples of 32, not 528x256',
      }),
    );
    engine.become({ model: { ...demoModel, minSteps: 9 } });
    expect(() => admission.assertStillFits(request, { previews: 0 })).toThrow(/other, .*, needs 9 steps at least, not \d/);
    engine.become({ model: { ...demoModel, memory: { ...memory, budget: 1 } } });
    expect(() => admission.assertStillFits(request, { previews: 0 })).toThrow(
      expect.objectContaining({ code: 'REQUEST_TOO_LARGE' }),
    );
  });
});
