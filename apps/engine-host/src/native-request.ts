import type { EngineWarning, GenerateRequest, NativeRequest, PromptEncoder } from '@app/engine';

/** Text becomes token ids; everything else crosses as it is. */
export function toNativeRequest(
  prompts: PromptEncoder,
  request: GenerateRequest,
): { native: NativeRequest; warnings: EngineWarning[] } {
  const { prompt, negativePrompt, ...rest } = request;
  const positive = prompts.encode('prompt', prompt, request.maxSequenceLength);
  const negative = request.trueCfgScale > 1 ? prompts.encode('negative_prompt', negativePrompt, request.maxSequenceLength) : null;
  return {
    native: {
      ...rest,
      promptIds: positive.ids,
      negativePromptIds: negative?.ids ?? null,
      dropIndex: prompts.dropIndex,
    },
    warnings: [...positive.warnings, ...(negative?.warnings ?? [])],
  };
}
