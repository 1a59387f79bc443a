import type { MemoryModel } from './engine.types.js';
import { fits, largestThatFits, memoryNeeded, type RequestShape } from './memory-estimate.js';

/** Round numbers, each of another power of ten, so that a sum shows its parts. */
const memory: MemoryModel = {
  budget: 1e9,
  resident: 1e8,
  request: { perInputPixel: 0, perPicturePixel: 0, perTextToken: 0 },
  textEncoder: { weights: 0, perToken: 0 },
  transformer: { weights: 0, perStep: 0, stepsAtOnce: 64, perPixel: 0, perBranchPixel: 0, perTextToken: 0 },
  vaeEncoder: { weights: 0, perWorkPixel: 0, perPixel: 0 },
  vaeDecoder: { weights: 0, perWorkPixel: 0, perPixel: 0 },
  tiling: { abovePixels: null, tilePixels: 65536 },
};

const shape: RequestShape = {
  prompt: 'a red circle',
  negativePrompt: ' ',
  width: 512,
  height: 256,
  numInferenceSteps: 20,
  trueCfgScale: 4,
  numImages: 1,
  maxSequenceLength: 512,
};
const pixels = 512 * 256;

function needed(part: Partial<MemoryModel>, change: Partial<RequestShape> = {}): number {
  return memoryNeeded({ ...shape, ...change }, { ...memory, ...part }) - memory.resident;
}

describe(memoryNeeded.name, () => {
  it('is what stays, and nothing more, where nothing costs anything', () => {
    expect(needed({})).toBe(0);
  });

  it('adds what is held throughout to the largest stage alone', () => {
    const parts = {
      request: { perInputPixel: 0, perPicturePixel: 1, perTextToken: 0 },
      vaeDecoder: { weights: 0, perWorkPixel: 100, perPixel: 10 },
      transformer: { ...memory.transformer, perPixel: 109 },
    };
    expect(needed(parts)).toBe(pixels * (1 + 110));
    expect(needed(parts, { numImages: 3 })).toBe(pixels * (3 + 110));
  });

  it('counts both branches of guidance, and the steps that are held at once', () => {
    const transformer = { ...memory.transformer, perBranchPixel: 10, perStep: 1 };
    expect(needed({ transformer })).toBe(pixels * 20 + 20);
    expect(needed({ transformer }, { trueCfgScale: 1 })).toBe(pixels * 10 + 20);
    expect(needed({ transformer }, { numInferenceSteps: 200 })).toBe(pixels * 20 + 64);
  });

  it('takes the bytes of a prompt for tokens, up to what is kept of it', () => {
    const transformer = { ...memory.transformer, perTextToken: 1 };
    const template = 34 + '<|im_end|>\n<|im_start|>assistant\n'.length;
    const rows = (prompt: string, maxSequenceLength = 1024) =>
      needed({ transformer }, { prompt, trueCfgScale: 1, maxSequenceLength }) - template;
    expect(rows('abc')).toBe(3);
    expect(rows('日本')).toBe(6);
    expect(rows('x'.repeat(32_000), 512) + template).toBe(512);
    const textEncoder = { weights: 0, perToken: 1 };
    expect(needed({ textEncoder }, { prompt: 'x'.repeat(32_000) })).toBe(1058);
  });

  it('counts the start picture as it comes and as it is encoded', () => {
    const parts = {
      request: { perInputPixel: 12, perPicturePixel: 0, perTextToken: 0 },
      vaeEncoder: { weights: 7, perWorkPixel: 5, perPixel: 0 },
    };
    expect(needed(parts)).toBe(0);
    expect(needed(parts, { image: { width: 1000, height: 10 } })).toBe(12 * 10_000 + 7 + 5 * pixels);
  });

  it('caps the work of the VAE at one tile where it goes in tiles', () => {
    const vaeDecoder = { weights: 0, perWorkPixel: 100, perPixel: 1 };
    const tiling = { abovePixels: pixels, tilePixels: 65536 };
    expect(needed({ vaeDecoder, tiling })).toBe(pixels * 101);
    expect(needed({ vaeDecoder, tiling }, { width: 1024 })).toBe(65536 * 100 + pixels * 2);
    expect(needed({ vaeDecoder, tiling: { ...tiling, abovePixels: 0 } }, { width: 64, height: 64 })).toBe(64 * 64 * 101);
  });

  it('lets the weights of models that take turns count once at a time, with previews too', () => {
    const parts = {
      textEncoder: { weights: 500, perToken: 0 },
      transformer: { ...memory.transformer, weights: 2000, perPixel: 1 },
      vaeDecoder: { weights: 300, perWorkPixel: 4, perPixel: 0 },
    };
    const small = { width: 16, height: 16 };
    expect(needed(parts, small)).toBe(2000 + 256);
    // 64 pixels of a preview beside what the steps hold, the VAE's weights in the transformer's place
    expect(needed({ ...parts, transformer: { ...parts.transformer, weights: 0 } }, { ...small, previews: 1 })).toBe(
      Math.max(300 + 256 + 256, 300 + 1024),
    );
  });
});

describe('a prompt of more bytes than there are tokens', () => {
  it('is not composed, which takes a time that grows with its square', () => {
    const compose = jest.spyOn(String.prototype, 'normalize');
    needed({}, { prompt: 'a' + '\u0301\u0316'.repeat(16_000) });
    expect(compose.mock.calls.map((_, call) => String(compose.mock.contexts[call]))).toEqual([shape.negativePrompt]);
    compose.mockRestore();
  });
});

describe(largestThatFits.name, () => {
  const limits = { sizeMultiple: 16, minSide: 32, maxSide: 4096, maxPixels: 4_194_304 };
  const vaeDecoder = { weights: 0, perWorkPixel: 1000, perPixel: 0 };
  const tight: MemoryModel = { ...memory, vaeDecoder, budget: memory.resident + 1000 * 400 * 400 };

  it('is the size that was asked for where that fits', () => {
    expect(fits({ ...shape, width: 400, height: 400 }, tight)).toBe(true);
    expect(largestThatFits({ ...shape, width: 400, height: 400 }, tight, limits)).toEqual({ width: 400, height: 400 });
  });

  it.each([
    [1024, 1024, { width: 400, height: 400 }],
    [2048, 1024, { width: 560, height: 272 }],
    [1024, 2048, { width: 272, height: 560 }],
  ])('keeps the shape of %i x %i', (width, height, expected) => {
    expect(largestThatFits({ ...shape, width, height }, tight, limits)).toEqual(expected);
  });

  it('is none where not even the smallest side fits, and keeps to the limits', () => {
    expect(largestThatFits(shape, { ...tight, budget: memory.resident + 1000 }, limits)).toBeNull();
    expect(
      largestThatFits({ ...shape, width: 4096, height: 48 }, { ...tight, budget: memory.resident + 1e6 }, limits),
    ).toBeNull();
    const roomy = { ...tight, budget: 1e15 };
    expect(largestThatFits({ ...shape, width: 8192, height: 8192 }, roomy, limits)).toEqual({ width: 2048, height: 2048 });
  });
});
