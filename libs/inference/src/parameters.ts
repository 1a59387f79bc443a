import type { GenerateResult, Residency } from '@app/engine';
import type { OutputFormat, PictureDescription } from '@app/image-processing';
import type { JobRequest } from './job.types.js';

export type UsedParameters = ReturnType<typeof usedParameters>;

/** Every field as it was used, by its name in the API, and how the engine went about it. */
export function usedParameters(request: JobRequest, { vaeTiled }: Pick<GenerateResult, 'vaeTiled'>, residency: Residency) {
  return { ...askedParameters(request), vae_tiling: vaeTiled, residency };
}

/** Every field as it is going to be used: what is known before the end. */
export function askedParameters({ generate, output }: JobRequest) {
  return {
    prompt: generate.prompt,
    negative_prompt: generate.negativePrompt,
    width: generate.width,
    height: generate.height,
    num_inference_steps: generate.numInferenceSteps,
    true_cfg_scale: generate.trueCfgScale,
    seed: generate.seed,
    num_images: generate.numImages,
    ...(generate.strength === undefined ? {} : { strength: generate.strength }),
    max_sequence_length: generate.maxSequenceLength,
    ...formatParameters(output),
    output_metadata: output.metadata,
  };
}

/** The same picture in another format. */
export function withFormat(parameters: UsedParameters, output: OutputFormat): UsedParameters {
  const others = Object.entries(parameters).filter(([name]) => name !== 'output_quality');
  const entries = others.map(([name, value]) => (name === 'output_format' ? formatParameters(output) : { [name]: value }));
  return Object.assign({}, ...entries) as UsedParameters;
}

function formatParameters({ format, quality }: OutputFormat) {
  return { output_format: format, ...(format === 'png' ? {} : { output_quality: quality }) };
}

/** What image `index` tells of itself: enough to draw it again, alone. */
export function describePicture(
  parameters: UsedParameters,
  index: number,
  { model, software }: Pick<PictureDescription, 'model' | 'software'>,
): PictureDescription {
  const { prompt, negative_prompt, seed, ...rest } = parameters;
  return { prompt, negative_prompt, seed: seed + index, parameters: { ...rest, num_images: 1 }, model, software };
}
