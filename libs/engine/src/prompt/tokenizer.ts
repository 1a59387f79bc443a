import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { invalidModel } from '../checkpoint/json-file.js';
import { readTokenizerDefinition } from './tokenizer-files.js';

/** Text to token ids, equal to transformers' Qwen2Tokenizer. */
export interface Tokenizer {
  /** Tokens that are matched whole wherever a text spells them out: `<|im_end|>`, `<tool_call>`, … */
  readonly addedTokens: readonly string[];
  encode(text: string): number[];
  /** Takes spelled-out added tokens for ordinary text. */
  encodePlain(text: string): number[];
}

// The package's own declarations resolve to `any` under nodenext: this is what is used of it, checked by the specs.
interface HuggingFace {
  normalizer: ((text: string) => string) | null;
  pre_tokenizer: ((text: string) => string[]) | null;
  model: (words: string[]) => string[];
  encode(text: string): { ids: number[] };
  token_to_id(token: string): number | undefined;
}
type HuggingFaceConstructor = new (definition: object, config: object) => HuggingFace;

/** @throws EngineError INVALID_MODEL naming the file. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const definition = await readTokenizerDefinition(folder);
  let huggingFace: HuggingFace;
  try {
    huggingFace = new (HuggingFaceTokenizer as unknown as HuggingFaceConstructor)(definition, {});
  } catch (error) {
    throw invalidModel(folder, `the tokenizer cannot be built: ${(error as Error).message}`);
  }
  return {
    addedTokens: definition.added_tokens.map((token) => token.content),
    encode: (text) => huggingFace.encode(text).ids,
    encodePlain: (text) => encodeOrdinaryText(huggingFace, text),
  };
}

function encodeOrdinaryText(huggingFace: HuggingFace, text: string): number[] {
  const normalized = huggingFace.normalizer ? huggingFace.normalizer(text) : text;
  const words = huggingFace.pre_tokenizer ? huggingFace.pre_tokenizer(normalized) : [normalized];
  return huggingFace.model(words).flatMap((token) => huggingFace.token_to_id(token) ?? []);
}
