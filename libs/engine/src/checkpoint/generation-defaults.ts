import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelInfo } from '../engine.types.js';
import { invalidModel, readModelJson, shown } from './json-file.js';
import type { NativeModelInfo } from '../binding.js';
import { findProjectRoot } from '../project-root.js';

const fileName = 'generation_defaults.json';
const maxFileBytes = 64 * 1024;

type Defaults = ModelInfo['defaults'];

interface Rule {
  key: keyof Defaults;
  expected: string;
  accepts: (value: unknown) => boolean;
}

/** What the engine draws at all (native/pipeline/request_check.cpp). */
const maxSide = 16_384;
const maxSteps = 10_000;

const integerUpTo = (max: number) => ({
  expected: `an integer from 1 to ${max}`,
  accepts: (value: unknown) => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= max,
});

const rules = new Map<string, Rule>([
  ['width', { key: 'width', ...integerUpTo(maxSide) }],
  ['height', { key: 'height', ...integerUpTo(maxSide) }],
  ['num_inference_steps', { key: 'numInferenceSteps', ...integerUpTo(maxSteps) }],
  [
    'true_cfg_scale',
    {
      key: 'trueCfgScale',
      expected: 'a number from 1 to 20',
      accepts: (value) => typeof value === 'number' && value >= 1 && value <= 20,
    },
  ],
  ['negative_prompt', { key: 'negativePrompt', expected: 'a string', accepts: (value) => typeof value === 'string' }],
]);

/** What one file says; a later layer comes before an earlier one. */
export interface DefaultsLayer {
  path: string;
  values: Partial<Defaults>;
}

/**
 * What is recommended for a checkpoint: for its class by this project (config/models/CLASS.json, for released classes), and over
 * that by its own folder, whose generation_defaults.json need not be there.
 *
 * @throws EngineError INVALID_MODEL naming the file and the key.
 */
export async function readGenerationDefaults(folder: string, pipelineClass: string): Promise<DefaultsLayer[]> {
  const ofClass = join(findProjectRoot(), 'config/models', `${pipelineClass}.json`);
  const ofFolder = join(folder, fileName);
  const layers = [await readLayer(ofClass)];
  for (const [name, { key }] of rules) {
    const isOfModel = key === 'width' || key === 'height'; // known without a file: the side that the VAE was made for
    if (!isOfModel && layers[0]?.values[key] === undefined) throw invalidModel(ofClass, `${name} is missing`);
  }
  if (existsSync(ofFolder)) layers.push(await readLayer(ofFolder));
  return layers;
}

async function readLayer(path: string): Promise<DefaultsLayer> {
  const given = await readModelJson(path, maxFileBytes);
  const entries = Object.entries(given).map(([name, value]) => {
    const rule = rules.get(name);
    if (!rule) throw invalidModel(path, `unknown key ${name}; known are ${[...rules.keys()].join(', ')}`);
    if (!rule.accepts(value)) throw invalidModel(path, `${name} is ${shown(value)}, expected ${rule.expected}`);
    return [rule.key, value] as const;
  });
  const values = Object.fromEntries(entries) as Partial<Defaults>;
  if ((values.width === undefined) !== (values.height === undefined)) {
    throw invalidModel(path, 'width and height come together or not at all');
  }
  return { path, values };
}

/**
 * The layers over each other, and below them the side that the model was made for.
 *
 * @throws EngineError INVALID_MODEL when the model cannot do what a file recommends.
 */
export function resolveDefaults(
  layers: readonly DefaultsLayer[],
  model: Pick<NativeModelInfo, 'defaultSide' | 'sizeMultiple' | 'minSteps'>,
): Defaults {
  for (const { path, values } of layers) {
    for (const side of ['width', 'height'] as const) {
      const length = values[side];
      if (length !== undefined && length % model.sizeMultiple !== 0) {
        throw invalidModel(path, `${side} is ${length}, expected a multiple of ${model.sizeMultiple}`);
      }
    }
    const steps = values.numInferenceSteps;
    if (steps !== undefined && steps < model.minSteps) {
      throw invalidModel(path, `num_inference_steps is ${steps}, the scheduler needs at least ${model.minSteps}`);
    }
  }
  const side = { width: model.defaultSide, height: model.defaultSide };
  return Object.assign(side, ...layers.map(({ values }) => values)) as Defaults;
}
