import type { LimitsConfig } from '@app/config';
import type { ModelInfo } from '@app/engine';

export interface Size {
  width: number;
  height: number;
}

type SizeLimits = Pick<LimitsConfig, 'minSide' | 'maxSide' | 'maxPixels'>;

export function isWithin({ width, height }: Size, { minSide, maxSide, maxPixels }: SizeLimits): boolean {
  return Math.min(width, height) >= minSide && Math.max(width, height) <= maxSide && width * height <= maxPixels;
}

/**
 * Size of a picture drawn from another one when none was asked for: the input's own, shrunk to the model's default area,
 * each side then rounded down to the model's multiple. Null when the input is too long and thin for the limits.
 */
export function sizeLikeInput(
  input: Size,
  { defaults, sizeMultiple }: Pick<ModelInfo, 'defaults' | 'sizeMultiple'>,
  limits: SizeLimits,
): Size | null {
  const cap = Math.min(defaults.width * defaults.height, limits.maxPixels);
  const scale = Math.min(1, Math.sqrt(cap / (input.width * input.height)));
  const smallest = Math.ceil(limits.minSide / sizeMultiple) * sizeMultiple;
  const fit = (side: number) => Math.max(smallest, Math.floor((side * scale) / sizeMultiple) * sizeMultiple);
  const size = { width: fit(input.width), height: fit(input.height) };
  return isWithin(size, limits) ? size : null;
}
