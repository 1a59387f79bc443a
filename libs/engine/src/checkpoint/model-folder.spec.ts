import { cp, mkdtemp, open, rename, rm, symlink, unlink, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NativeModelInfo } from '../binding.js';
import { readGenerationDefaults, resolveDefaults, type DefaultsLayer } from './generation-defaults.js';
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
  const ofClass = { numInferenceSteps: 50, trueCfgScale: 4, negativePrompt: ' ' };
  const write = (text: string) => writeFile(join(folder, 'generation_defaults.json'), text);
  const read = () => readGenerationDefaults(folder, 'QwenImagePipeline');

  it('reads what is recommended for the class, and over it what the checkpoint recommends', async () => {
    const ofDemo = { width: 256, height: 256, numInferenceSteps: 20, trueCfgScale: 4, negativePrompt: ' ' };
    expect(await read()).toEqual([
      { path: expect.stringMatching(/config\/models\/QwenImagePipeline\.json$/) as string, values: ofClass },
      { path: join(folder, 'generation_defaults.json'), values: ofDemo },
    ]);
  });

  it('is content with a folder that recommends nothing', async () => {
    await unlink(join(folder, 'generation_defaults.json'));
    expect((await read()).map(({ values }) => values)).toEqual([ofClass]);
  });

  it('names the file that a class has not got', async () => {
    await expect(readGenerationDefaults(folder, 'Unknown')).rejects.toMatchObject(invalid('models/Unknown.json', 'no such file'));
  });

  it.each([
    ['{"width":256}', 'width and height'],
    ['{"width":"256","height":256}', 'width is "256"'],
    ['{"width":0,"height":256}', 'width is 0'],
    ['{"width":16400,"height":16}', 'width is 16400, expected an integer from 1 to 16384'],
    ['{"num_inference_steps":10001}', 'num_inference_steps is 10001, expected an integer from 1 to 10000'],
    ['{"num_inference_steps":2.5}', 'num_inference_steps is 2.5'],
    ['{"true_cfg_scale":21}', 'true_cfg_scale is 21'],
    ['{"negative_prompt":null}', 'negative_prompt is null'],
    ['{"steps":20}', 'unknown key steps'],
    [`{"width":${'['.repeat(20_000)}${']'.repeat(20_000)},"height":1}`, 'width is a list'],
    ['{"__proto__":1}', 'unknown key __proto__'],
    ['nonsense', 'not JSON'],
  ])('refuses %s', async (text, fault) => {
    await write(text);
    await expect(read()).rejects.toMatchObject(invalid('generation_defaults.json', fault));
  });
});

describe(resolveDefaults.name, () => {
  const model = { defaultSide: 1024, sizeMultiple: 16, minSteps: 2 } as NativeModelInfo;
  const ofClass = { path: 'class.json', values: { numInferenceSteps: 50, trueCfgScale: 4, negativePrompt: ' ' } };
  const ofFolder = (values: DefaultsLayer['values']) => ({ path: 'folder.json', values });

  it('takes the later layer first, and the side that the model was made for last', () => {
    expect(resolveDefaults([ofClass, ofFolder({ numInferenceSteps: 8 })], model)).toEqual({
      width: 1024,
      height: 1024,
      numInferenceSteps: 8,
      trueCfgScale: 4,
      negativePrompt: ' ',
    });
    expect(resolveDefaults([ofClass, ofFolder({ width: 1664, height: 928 })], model)).toMatchObject({ width: 1664, height: 928 });
  });

  it('refuses what the model cannot do, and names the file', () => {
    const resolve = (values: DefaultsLayer['values']) => () => resolveDefaults([ofClass, ofFolder(values)], model);
    const refused = (...parts: string[]) => expect.objectContaining(invalid('folder.json', ...parts)) as Error;
    expect(resolve({ width: 256, height: 250 })).toThrow(refused('height is 250', 'multiple of 16'));
    expect(resolve({ numInferenceSteps: 1 })).toThrow(refused('num_inference_steps is 1', 'at least 2'));
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

  // Nobody has checked those that the engine does not read: another precision, cloned without git-lfs.
  it.each([
    ['empty', ''],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n'],
    ['cut short in its header', '\u0010\0\0\0\0\0\0\0{"a":'],
    ['no JSON', '\u0005\0\0\0\0\0\0\0{"a":'],
  ])('takes a further weights file that is %s', async (_, content) => {
    const first = await fingerprintModelFolder(folder);
    const path = join(folder, 'vae/diffusion_pytorch_model.fp16.safetensors');
    await writeFile(path, content);
    const second = await fingerprintModelFolder(folder);
    expect(second).not.toBe(first);
    await writeFile(path, `${content}.`);
    expect(await fingerprintModelFolder(folder)).not.toBe(second);
  });
});

async function firstTensor(file: FileHandle): Promise<number> {
  const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0);
  return 8 + Number(buffer.readBigUInt64LE());
}
