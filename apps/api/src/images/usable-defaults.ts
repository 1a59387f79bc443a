import type { LimitsConfig } from '@app/config';
import type { ModelInfo } from '@app/engine';
import { isWithin } from './picture-size.js';

export interface UsableDefaults {
  /** Null, as `height`: a request must give a size. */
  width: number | null;
  height: number | null;
  /** Null: a request must give it. */
  numInferenceSteps: number | null;
}

/** What the model would choose, where an operator's limits do not rule it out: then a request that leaves it out is refused. */
export function usableDefaults(
  { width, height, numInferenceSteps }: ModelInfo['defaults'],
  limits: LimitsConfig,
): UsableDefaults {
  const size = isWithin({ width, height }, limits) ? { width, height } : { width: null, height: null };
  return { ...size, numInferenceSteps: numInferenceSteps <= limits.maxSteps ? numInferenceSteps : null };
}
