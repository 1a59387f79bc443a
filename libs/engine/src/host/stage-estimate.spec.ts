import type { GenerateRequest } from '../engine.types.js';
import { StageEstimate } from './stage-estimate.js';

const request: GenerateRequest = {
  prompt: 'a red circle',
  negativePrompt: ' ',
  width: 256,
  height: 256,
  numInferenceSteps: 10,
  trueCfgScale: 4,
  seed: 1,
  numImages: 1,
  maxSequenceLength: 512,
};
const timings = { encodeMs: 100, denoiseMs: 1000, decodeMs: 10, totalMs: 1110 };

describe(StageEstimate.name, () => {
  let estimate: StageEstimate;
  beforeEach(() => (estimate = new StageEstimate()));

  function estimated(changes: Partial<GenerateRequest>): (number | null)[] {
    const wanted = { ...request, ...changes };
    return (['encode', 'denoise', 'decode'] as const).map((stage) => {
      const ms = estimate.ms(stage, wanted);
      return ms === null ? null : Math.round(ms);
    });
  }

  it('knows nothing before it was told', () => {
    expect(estimated({})).toEqual([null, null, null]);
  });

  it.each<[string, Partial<GenerateRequest>, number[]]>([
    ['the same request', {}, [100, 1000, 10]],
    ['more steps', { numInferenceSteps: 50 }, [100, 5000, 10]],
    ['a start picture that saves steps', { strength: 0.5 }, [100, 500, 10]],
    ['more images', { numImages: 3 }, [100, 3000, 30]],
    ['a smaller picture', { height: 128 }, [100, 500, 5]],
    ['a larger picture, by the square', { height: 512 }, [200, 4000, 40]],
  ])('scales to %s', (_, changes, expected) => {
    estimate.record(request, timings);
    expect(estimated(changes)).toEqual(expected);
  });

  it('expects half the work without guidance, and more with longer prompts', () => {
    estimate.record(request, timings);
    expect(estimated({ trueCfgScale: 1 })[1]).toBe(500);
    expect(estimated({ trueCfgScale: 1 })[0]).toBeLessThan(100);
    expect(estimated({ prompt: 'long '.repeat(1000) })[0]).toBeGreaterThan(1000);
  });

  it('follows what changes, without jumping', () => {
    estimate.record(request, timings);
    estimate.record(request, { ...timings, denoiseMs: 2000 });
    expect(estimated({})[1]).toBe(1300);
  });
});
