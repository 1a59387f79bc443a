import { cpSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { editSafetensors } from './safetensors.js';
import { projectRoot } from './server.js';

/** In no prompt but a test's own: the one of the warm-up must not have it, so that the model loads. */
export const poison = '~';

const bytesPerWeight = 2; // bfloat16
const nan = 0x7fc0;

/** A copy of the demo model that draws as ever, and NaN when `poison` is in the prompt; removed by the caller. */
export function newPoisonedModel(): string {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-poisoned-'));
  cpSync(join(projectRoot, 'models/demo'), folder, { recursive: true });
  const vocabulary = JSON.parse(readFileSync(join(folder, 'tokenizer/vocab.json'), 'utf8')) as Record<string, number>;
  editSafetensors(join(folder, 'text_encoder/model.safetensors'), 'model.embed_tokens.weight', ({ shape, bytes }) => {
    bytes.writeUInt16LE(nan, vocabulary[poison]! * shape[1]! * bytesPerWeight);
  });
  return folder;
}
