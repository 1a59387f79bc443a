import type { SpecialTokens } from '../engine.messages.js';
import { picturePlaceholders } from './prompt-templates.js';

/** Tokens that a prompt may not spell out. */
export function refusedTokens(addedTokens: readonly string[], specialTokens: SpecialTokens): string[] {
  const others = specialTokens === 'reject' ? addedTokens.filter((token) => !picturePlaceholders.includes(token)) : [];
  return [...picturePlaceholders, ...others];
}

/** What is wrong with a prompt that spells out one of them, in words that follow its field's name; null when it does not. */
export function refusedTokenFault(text: string, refused: readonly string[]): string | null {
  const token = refused.find((candidate) => text.includes(candidate));
  if (token === undefined) return null;
  return picturePlaceholders.includes(token)
    ? `spells out ${token}, which stands for a picture that is not there`
    : `spells out ${token}, a control token of the model, which is refused here (prompt.specialTokens)`;
}
