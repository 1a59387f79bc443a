import { EngineError } from '../engine.error.js';
import type { SpecialTokens } from '../engine.messages.js';
import type { EngineWarning } from '../engine.types.js';
import type { PromptTemplate } from './prompt-templates.js';
import { refusedTokenFault, refusedTokens } from './refused-tokens.js';
import type { Tokenizer } from './tokenizer.js';

export type PromptField = EngineWarning['field'];

export interface EncodedPrompt {
  ids: Int32Array;
  warnings: EngineWarning[];
}

/** Fills a template with a prompt and turns it into token ids, cut as diffusers cuts them. */
export class PromptEncoder {
  readonly refusedTokens: readonly string[];
  private readonly suffixTokens: number;
  // Where the ordinary text that runs into the prompt begins: words may join across the border.
  private readonly textStart: number;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly template: PromptTemplate,
    private readonly specialTokens: SpecialTokens,
  ) {
    this.refusedTokens = refusedTokens(tokenizer.addedTokens, specialTokens);
    this.suffixTokens = tokenizer.encode(template.suffix).length;
    this.textStart = Math.max(
      0,
      ...tokenizer.addedTokens
        .filter((token) => template.prefix.includes(token))
        .map((token) => template.prefix.lastIndexOf(token) + token.length),
    );
  }

  get dropIndex(): number {
    return this.template.dropIndex;
  }

  /** @throws EngineError INVALID_ARGUMENT when the prompt spells out a token that it may not hold. */
  encode(field: PromptField, prompt: string, maxSequenceLength: number): EncodedPrompt {
    const text = withoutLoneSurrogates(prompt);
    const fault = refusedTokenFault(text, this.refusedTokens);
    if (fault !== null) throw new EngineError('INVALID_ARGUMENT', fault, { field });
    const ids = this.specialTokens === 'escape' ? this.encodeEscaped(text) : this.encodeFilled(text);
    return {
      ids: Int32Array.from(ids.slice(0, this.template.maxTokens)),
      warnings: this.truncation(field, ids.length, maxSequenceLength),
    };
  }

  private encodeFilled(text: string): number[] {
    return this.tokenizer.encode(this.template.prefix + text + this.template.suffix);
  }

  private encodeEscaped(text: string): number[] {
    const { prefix, suffix } = this.template;
    return this.tokenizer
      .encode(prefix.slice(0, this.textStart))
      .concat(this.tokenizer.encodePlain(prefix.slice(this.textStart) + text), this.tokenizer.encode(suffix));
  }

  /** Only the prompt's own tokens count: losing the template's closing tokens changes nothing that was asked for. */
  private truncation(field: PromptField, tokens: number, maxSequenceLength: number): EngineWarning[] {
    const own = tokens - this.template.dropIndex - this.suffixTokens;
    if (own <= maxSequenceLength) return [];
    return [{ code: 'PROMPT_TRUNCATED', field, message: `${own} tokens, the first ${maxSequenceLength} were used` }];
  }
}

// Half a surrogate pair is no character and has no UTF-8 form.
function withoutLoneSurrogates(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\uFFFD');
}
