import { cp, mkdtemp, open, rename, rm, symlink, unlink, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NativeModelInfo } from '../binding.js';
import { readGenerationDefaults, resolveDefaults } from './generation-defaults.js';
import { fingerprintModelFolder } from './model-fingerprint.js';
import { readModelClass } from './model-folder.js';

const demo = join(__dirname, '../../../../models/demo');

let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'model-'));
  folder = join(parent, 'model');
  await cp(demo, folder, { recursive: true });
});
afterEach(() => rm(parent, { recursive: true }));

const invalid = (...parts: string[]) => ({
  code: 'INVALID_MODEL',
  message: expect.stringMatching(new RegExp(parts.join('.*'))) as string,
});

describe(readModelClass.name, () => {
  it('takes a complete checkpoint, sharded or not', async () => {
    expect(await readModelClass(folder)).toBe('QwenImagePipeline');
    const weights = join(folder, 'transformer/diffusion_pytorch_model.safetensors');
    await rename(weights, `${weights}.index.json`);
    expect(await readModelClass(folder)).toBe('QwenImagePipeline');
  });

  it('names a folder that is not there, or is none', async () => {
    await expect(readModelClass(join(folder, 'nowhere'))).rejects.toMatchObject(invalid('nowhere', 'no such folder'));
    await expect(readModelClass(join(folder, 'README.md'))).rejects.toMatchObject(invalid('README.md', 'not a folder'));
  });

  it('says what was found and what is served', async () => {
    await writeFile(join(folder, 'model_index.json'), '{"_class_name":"StableDiffusionPipeline"}');
    await expect(readModelClass(folder)).rejects.toMatchObject(
      invalid('model_index.json', 'StableDiffusionPipeline', 'QwenImagePipeline'),
    );
  });

  it.each([
    'model_index.json',
    'scheduler/scheduler_config.json',
    'text_encoder/config.json',
    'text_encoder/model.safetensors',
    'transformer/config.json',
    'transformer/diffusion_pytorch_model.safetensors',
    'vae/config.json',
    'vae/diffusion_pytorch_model.safetensors',
  ])('names a missing %s', async (name) => {
    await unlink(join(folder, name));
    await expect(readModelClass(folder)).rejects.toMatchObject(invalid(name, 'no such file'));
  });
});

describe(readGenerationDefaults.name, () => {
  const write = (text: string) => writeFile(join(folder, 'generation_defaults.json'), text);

  it('reads what the checkpoint recommends', async () => {
    expect(await readGenerationDefaults(folder)).toEqual({
      width: 256,
      height: 256,
      numInferenceSteps: 20,
      trueCfgScale: 4,
      negativePrompt: ' ',
    });
  });

  it('is content with a folder that recommends nothing', async () => {
    await unlink(join(folder, 'generation_defaults.json'));
    expect(await readGenerationDefaults(folder)).toEqual({});
  });

  it.each([
    ['{"width":256}', 'width and height'],
    ['{"width":"256","height":256}', 'width is "256"'],
    ['{"width":0,"height":256}', 'width is 0'],
    ['{"num_inference_steps":2.5}', 'num_inference_steps is 2.5'],
    ['{"true_cfg_scale":21}', 'true_cfg_scale is 21'],
    ['{"negative_prompt":null}', 'negative_prompt is null'],
    ['{"steps":20}', 'unknown key steps'],
    ['{"__proto__":1}', 'unknown key __proto__'],
    ['nonsense', 'not JSON'],
  ])('refuses %s', async (text, fault) => {
    await write(text);
    await expect(readGenerationDefaults(folder)).rejects.toMatchObject(invalid('generation_defaults.json', fault));
  });
});

describe(resolveDefaults.name, () => {
  const model = { defaultSide: 1024, sizeMultiple: 16, minSteps: 2 } as NativeModelInfo;

  it("falls back on diffusers' defaults", () => {
    expect(resolveDefaults(folder, { numInferenceSteps: 8 }, model)).toEqual({
      width: 1024,
      height: 1024,
      numInferenceSteps: 8,
      trueCfgScale: 4,
      negativePrompt: ' ',
    });
  });

  it('refuses what the model cannot do', () => {
    const refused = (parts: string[]) => expect.objectContaining(invalid('generation_defaults.json', ...parts)) as Error;
    expect(() => resolveDefaults(folder, { width: 256, height: 250 }, model)).toThrow(
      refused(['height is 250', 'multiple of 16']),
    );
    expect(() => resolveDefaults(folder, { numInferenceSteps: 1 }, model)).toThrow(
      refused(['num_inference_steps is 1', 'at least 2']),
    );
  });
});

describe(fingerprintModelFolder.name, () => {
  it('depends on the contents alone', async () => {
    const first = await fingerprintModelFolder(folder);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await fingerprintModelFolder(demo)).toBe(first);

    const weights = join(folder, 'vae/diffusion_pytorch_model.safetensors');
    await rename(weights, join(parent, 'blob'));
    await symlink(join(parent, 'blob'), weights);
    await writeFile(join(folder, 'README.md'), 'other words');
    await writeFile(join(folder, 'vae/.cache'), 'left by a downloader');
    expect(await fingerprintModelFolder(folder)).toBe(first);
  });

  it.each([
    ['a config value', 'vae/config.json', () => 20],
    ['the beginning of a tensor', 'text_encoder/model.safetensors', firstTensor],
  ])('changes with %s', async (_, name, position) => {
    const first = await fingerprintModelFolder(folder);
    const file = await open(join(folder, name), 'r+');
    const at = await position(file);
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
    buffer[0] = (buffer[0] ?? 0) ^ 1;
    await file.write(buffer, 0, 1, at);
    await file.close();
    expect(await fingerprintModelFolder(folder)).not.toBe(first);
  });

  it('changes with an added file', async () => {
    const first = await fingerprintModelFolder(folder);
    await writeFile(join(folder, 'tokenizer/empty'), '');
    expect(await fingerprintModelFolder(folder)).not.toBe(first);
  });
});

async function firstTensor(file: FileHandle): Promise<number> {
  const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0);
  return 8 + Number(buffer.readBigUInt64LE());
}
