import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { invalidModel, isJsonObject, readModelJson, readModelText, shown, type JsonObject } from '../checkpoint/json-file.js';

/** The parts of tokenizer.json that byte-level BPE is made of, in that file's own form. */
export interface TokenizerDefinition extends JsonObject {
  added_tokens: AddedToken[];
}

export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  normalized: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
}

// The released files hold 11 MB at most.
const maxFileBytes = 64 * 1024 * 1024;

// https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/models/qwen2/tokenization_qwen2.py
const qwen2Words =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * Reads the tokenizer of a checkpoint: tokenizer.json, or else vocab.json and merges.txt. Tokens of tokenizer_config.json
 * and added_tokens.json come on top, as transformers adds them.
 *
 * @throws EngineError INVALID_MODEL naming the file.
 */
export async function readTokenizerDefinition(folder: string): Promise<TokenizerDefinition> {
  const single = join(folder, 'tokenizer.json');
  const definition = existsSync(single) ? await readModelJson(single, maxFileBytes) : await readWordPairs(folder);
  checkModel(existsSync(single) ? single : join(folder, 'vocab.json'), definition);

  const known = new Map(tokensOf(single, definition['added_tokens'] ?? []).map((token) => [token.content, token]));
  for (const token of await readExtraTokens(folder)) {
    if (!known.has(token.content)) known.set(token.content, token);
  }
  return { ...definition, added_tokens: [...known.values()] };
}

async function readWordPairs(folder: string): Promise<JsonObject> {
  const vocab = await readModelJson(join(folder, 'vocab.json'), maxFileBytes);
  const merges = (await readModelText(join(folder, 'merges.txt'), maxFileBytes))
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('#version'));
  return {
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: qwen2Words }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', unk_token: null, vocab, merges },
  };
}

function checkModel(path: string, definition: JsonObject): void {
  const model = definition['model'];
  if (!isJsonObject(model) || model['type'] !== 'BPE') throw invalidModel(path, 'expected a model of type BPE');
  const { vocab, merges } = model;
  if (!isJsonObject(vocab) || Object.keys(vocab).length === 0) throw invalidModel(path, 'expected a vocabulary');
  const odd = Object.entries(vocab).find(([, id]) => !isTokenId(id));
  if (odd) throw invalidModel(path, `the id of ${shown(odd[0])} is ${shown(odd[1])}, expected an integer`);
  if (!Array.isArray(merges)) throw invalidModel(path, 'expected a list of merges');
  const broken: unknown = merges.find((merge: unknown) => !isMerge(merge));
  if (broken !== undefined) throw invalidModel(path, `${shown(broken)} is not a merge of two words`);
}

function isMerge(merge: unknown): boolean {
  const words: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
  return Array.isArray(words) && words.length === 2 && words.every((word) => typeof word === 'string' && word !== '');
}

async function readExtraTokens(folder: string): Promise<AddedToken[]> {
  const config = join(folder, 'tokenizer_config.json');
  const decoder = existsSync(config) ? (await readModelJson(config, maxFileBytes))['added_tokens_decoder'] : undefined;
  const listed = isJsonObject(decoder)
    ? tokensOf(
        config,
        Object.entries(decoder).map(([id, token]) => ({ ...(isJsonObject(token) ? token : {}), id: Number(id) })),
      )
    : [];

  const added = join(folder, 'added_tokens.json');
  const ids = existsSync(added) ? await readModelJson(added, maxFileBytes) : {};
  return [
    ...listed,
    ...tokensOf(
      added,
      Object.entries(ids).map(([content, id]) => ({ content, id })),
    ),
  ];
}

function tokensOf(path: string, tokens: unknown): AddedToken[] {
  if (!Array.isArray(tokens)) throw invalidModel(path, 'expected a list of added tokens');
  return tokens.map((token: unknown) => {
    const { content, id, special = false } = isJsonObject(token) ? token : {};
    if (typeof content !== 'string' || content === '' || !isTokenId(id)) {
      throw invalidModel(path, `expected an added token with id and content, got content ${shown(content)} and id ${shown(id)}`);
    }
    const flag = (name: string) => isJsonObject(token) && token[name] === true;
    return {
      id,
      content,
      special: special === true,
      normalized: flag('normalized'),
      lstrip: flag('lstrip'),
      rstrip: flag('rstrip'),
      single_word: flag('single_word'),
    };
  });
}

function isTokenId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) < 2 ** 31;
}
