import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadTokenizer, type Tokenizer } from '../prompt/tokenizer.js';
import { readGenerationDefaults, type DefaultsLayer } from './generation-defaults.js';
import { checkModelFile, invalidModel, readModelJson, shown } from './json-file.js';
import { checkWeightFile, weightFilesOf } from './weight-files.js';

const servedClasses = ['QwenImagePipeline'];
const maxIndexBytes = 1024 * 1024;

const configFiles = ['scheduler/scheduler_config.json', 'text_encoder/config.json', 'transformer/config.json', 'vae/config.json'];
const weightFiles = [
  'text_encoder/model.safetensors',
  'transformer/diffusion_pytorch_model.safetensors',
  'vae/diffusion_pytorch_model.safetensors',
];

/** The component folders of a checkpoint that the engine reads. */
export const modelComponents = ['scheduler', 'text_encoder', 'tokenizer', 'transformer', 'vae'] as const;

/**
 * Checks that `folder` is a checkpoint that this build serves and that none of its parts is missing; what is inside the
 * files is checked where they are read. Gives the pipeline's class.
 *
 * @throws EngineError INVALID_MODEL naming the file.
 */
export async function readModelClass(folder: string): Promise<string> {
  const stats = await stat(folder).catch(() => null);
  if (!stats) throw invalidModel(folder, 'no such folder');
  if (!stats.isDirectory()) throw invalidModel(folder, 'not a folder');

  const index = join(folder, 'model_index.json');
  const found = (await readModelJson(index, maxIndexBytes))['_class_name'];
  if (typeof found !== 'string' || !servedClasses.includes(found)) {
    throw invalidModel(index, `_class_name is ${shown(found)}, served are: ${servedClasses.join(', ')}`);
  }

  for (const name of configFiles) await checkModelFile(join(folder, name));
  for (const name of weightFiles) {
    const path = join(folder, name);
    if (!existsSync(path) && !existsSync(`${path}.index.json`)) {
      throw invalidModel(path, `no such file, and no ${name}.index.json`);
    }
  }
  return found;
}

/** A folder of which all was read but the weights. */
export interface CheckedFolder {
  class: string;
  recommended: DefaultsLayer[];
  tokenizer: Tokenizer;
  weightFiles: number;
  weightBytes: number;
}

/**
 * All that can be said of a model folder without loading it: its parts are there, its files are whole, and its settings can be read.
 *
 * @throws EngineError INVALID_MODEL naming the file.
 */
export async function checkModelFolder(folder: string): Promise<CheckedFolder> {
  const pipelineClass = await readModelClass(folder);
  const recommended = await readGenerationDefaults(folder, pipelineClass);
  for (const name of configFiles) await readModelJson(join(folder, name), maxIndexBytes);
  const tokenizer = await loadTokenizer(join(folder, 'tokenizer'));
  const files = (await Promise.all(weightFiles.map((name) => weightFilesOf(join(folder, name))))).flat();
  let weightBytes = 0;
  for (const file of files) weightBytes += await checkWeightFile(file);
  return { class: pipelineClass, recommended, tokenizer, weightFiles: files.length, weightBytes };
}
