/** What other services and pipelines call things, and our name for it. */
const otherDialects: Readonly<Record<string, string>> = {
  guidance_scale: 'true_cfg_scale',
  cfg_scale: 'true_cfg_scale',
  cfg: 'true_cfg_scale',
  guidance: 'true_cfg_scale',
  steps: 'num_inference_steps',
  n: 'num_images',
  num_images_per_prompt: 'num_images',
  batch_size: 'num_images',
  n_iter: 'num_images',
  size: 'width and height',
  denoising_strength: 'strength',
  format: 'output_format',
  response_format: 'the Accept header',
  quality: 'output_quality',
  output_compression: 'output_quality',
  negativePrompt: 'negative_prompt',
  timeout: 'timeout_ms',
  partial_images: 'previews',
};

/** Fields of the contract whose work is not built yet. */
const planned: readonly string[] = [
  'padding_mask_crop',
  'mask_image',
  'control_image',
  'layers',
  'resolution',
  'cfg_normalize',
  'controlnet',
  'controlnet_conditioning_scale',
  'control_guidance_start',
  'control_guidance_end',
  'loras',
  'preset',
  'scheduler',
];

export function unknownFieldFault(name: string): string {
  if (name === 'image') return 'must be a file, sent as multipart/form-data to /image-to-image';
  if (planned.includes(name)) return 'is not built yet';
  const hint = Object.hasOwn(otherDialects, name) ? `; did you mean ${otherDialects[name]}?` : '';
  return `is not a field of this route${hint}`;
}
