import type { GenerateResult, Residency } from '@app/engine';
import type { PictureDescription } from '@app/image-processing';
import type { JobRequest } from './job.js';

/** Every field as it was used, by its name in the API, and how the engine went about it. */
export function usedParameters(request: JobRequest, { vaeTiled }: Pick<GenerateResult, 'vaeTiled'>, residency: Residency) {
  const { generate, output } = request;
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
    output_format: output.format,
    ...(output.format === 'png' ? {} : { output_quality: output.quality }),
    output_metadata: output.metadata,
    vae_tiling: vaeTiled,
    residency,
  };
}

/** What image `index` tells of itself: enough to draw it again, alone. */
export function describePicture(
  parameters: ReturnType<typeof usedParameters>,
  index: number,
  { model, software }: Pick<PictureDescription, 'model' | 'software'>,
): PictureDescription {
  const { prompt, negative_prompt, seed, ...rest } = parameters;
  return { prompt, negative_prompt, seed: seed + index, parameters: { ...rest, num_images: 1 }, model, software };
}
