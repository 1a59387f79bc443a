import { memoryNeeded, type MemoryModel, type RequestShape } from '@app/engine';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/* What a process with the real addon holds at its peak, against what is said beforehand. */

const root = join(__dirname, '../..');
const run = promisify(execFile);
const patienceMs = 300_000;

async function measure(shape: RequestShape, promptTokens: number): Promise<{ needed: number; peak: number }> {
  const request = JSON.stringify({ ...shape, promptTokens });
  const args = [
    join(__dirname, 'peak-memory.js'),
    join(root, 'build/native/qwen_image.node'),
    join(root, 'models/demo'),
    request,
  ];
  const { stdout } = await run(process.execPath, args);
  const { memory, peak } = JSON.parse(stdout) as { memory: MemoryModel; peak: number };
  return { needed: memoryNeeded(shape, memory), peak };
}

const shape: RequestShape = {
  prompt: 'x'.repeat(500),
  negativePrompt: ' ',
  width: 1024,
  height: 1024,
  numInferenceSteps: 2,
  trueCfgScale: 4,
  numImages: 1,
  maxSequenceLength: 512,
};

describe(memoryNeeded.name, () => {
  it.each<[string, Partial<RequestShape>, number]>([
    ['a small picture', { width: 256, height: 256 }, 4],
    ['a large picture', {}, 2],
    ['a large picture without guidance, with previews', { trueCfgScale: 1, numInferenceSteps: 4, previews: 2 }, 2],
    ['two wide pictures from a large one', { width: 1280, height: 640, numImages: 2, image: { width: 4000, height: 3000 } }, 2],
    ['a small picture from a long and thin one', { width: 64, height: 64, image: { width: 30_000_000, height: 1 } }, 4],
    ['a small picture from a tall and thin one', { width: 64, height: 64, image: { width: 1, height: 30_000_000 } }, 4],
  ])(
    'is no less than %s takes, and not many times more',
    async (_, change, most) => {
      const { needed, peak } = await measure({ ...shape, ...change }, 545);
      expect(needed / peak).toBeGreaterThanOrEqual(1);
      expect(needed / peak).toBeLessThan(most);
    },
    patienceMs,
  );
});
