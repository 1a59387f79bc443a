import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelInfo } from '../engine.types.js';
import { invalidModel, readModelJson } from './json-file.js';
import type { NativeModelInfo } from '../binding.js';

const fileName = 'generation_defaults.json';
const maxFileBytes = 64 * 1024;

type Defaults = ModelInfo['defaults'];

interface Rule {
  key: keyof Defaults;
  expected: string;
  accepts: (value: unknown) => boolean;
}

const positiveInteger = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;

const rules = new Map<string, Rule>([
  ['width', { key: 'width', expected: 'a positive integer', accepts: positiveInteger }],
  ['height', { key: 'height', expected: 'a positive integer', accepts: positiveInteger }],
  ['num_inference_steps', { key: 'numInferenceSteps', expected: 'a positive integer', accepts: positiveInteger }],
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

/**
 * What a checkpoint recommends, from its optional generation_defaults.json.
 *
 * @throws EngineError INVALID_MODEL naming the file and the key.
 */
export async function readGenerationDefaults(folder: string): Promise<Partial<Defaults>> {
  const path = join(folder, fileName);
  if (!existsSync(path)) return {};
  const given = await readModelJson(path, maxFileBytes);
  const entries = Object.entries(given).map(([name, value]) => {
    const rule = rules.get(name);
    if (!rule) throw invalidModel(path, `unknown key ${name}; known are ${[...rules.keys()].join(', ')}`);
    if (!rule.accepts(value)) throw invalidModel(path, `${name} is ${JSON.stringify(value)}, expected ${rule.expected}`);
    return [rule.key, value] as const;
  });
  const defaults = Object.fromEntries(entries) as Partial<Defaults>;
  if ((defaults.width === undefined) !== (defaults.height === undefined)) {
    throw invalidModel(path, 'width and height come together or not at all');
  }
  return defaults;
}

/**
 * The recommendations over diffusers' own defaults.
 *
 * @throws EngineError INVALID_MODEL when the model cannot do what its folder recommends.
 */
export function resolveDefaults(
  folder: string,
  recommended: Partial<Defaults>,
  model: Pick<NativeModelInfo, 'defaultSide' | 'sizeMultiple' | 'minSteps'>,
): Defaults {
  const defaults: Defaults = {
    width: model.defaultSide,
    height: model.defaultSide,
    numInferenceSteps: 50,
    trueCfgScale: 4,
    negativePrompt: ' ',
    ...recommended,
  };
  const path = join(folder, fileName);
  for (const side of ['width', 'height'] as const) {
    if (defaults[side] % model.sizeMultiple !== 0) {
      throw invalidModel(path, `${side} is ${defaults[side]}, expected a multiple of ${model.sizeMultiple}`);
    }
  }
  if (defaults.numInferenceSteps < model.minSteps) {
    throw invalidModel(
      path,
      `num_inference_steps is ${defaults.numInferenceSteps}, the scheduler needs at least ${model.minSteps}`,
    );
  }
  return defaults;
}
