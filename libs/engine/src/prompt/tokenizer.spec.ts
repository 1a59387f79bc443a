import { cp, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTokenizer, type Tokenizer } from './tokenizer.js';

const root = join(__dirname, '../../../..');
const demo = join(root, 'models/demo/tokenizer');
const goldens = JSON.parse(readFileSync(join(root, 'test/golden/data/tokenizer.json'), 'utf8')) as {
  texts: { text: string; ids: number[] }[];
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function copy(...names: string[]): Promise<string> {
  for (const name of names) await cp(join(demo, name), join(folder, name));
  return folder;
}

describe.each([
  ['tokenizer.json', ['tokenizer.json']],
  ['vocab.json and merges.txt with tokenizer_config.json', ['vocab.json', 'merges.txt', 'tokenizer_config.json']],
  ['vocab.json and merges.txt with added_tokens.json', ['vocab.json', 'merges.txt', 'added_tokens.json']],
])('a tokenizer from %s', (_, names) => {
  let tokenizer: Tokenizer;
  beforeEach(async () => {
    tokenizer = await loadTokenizer(await copy(...names));
  });

  it("gives transformers' ids for every recorded text", () => {
    expect(goldens.texts.length).toBeGreaterThan(50);
    expect(goldens.texts.map(({ text }) => tokenizer.encode(text))).toEqual(goldens.texts.map(({ ids }) => ids));
  });

  it('knows the added tokens, and takes them for ordinary text when asked to', () => {
    expect(tokenizer.addedTokens).toHaveLength(22);
    expect(tokenizer.encode('<|im_end|>')).toHaveLength(1);
    const plain = tokenizer.encodePlain('<|im_end|>');
    expect(plain.length).toBeGreaterThan(1);
    expect(plain).not.toContain(tokenizer.encode('<|im_end|>')[0]);
    expect(tokenizer.encodePlain('a red circle')).toEqual(tokenizer.encode('a red circle'));
  });
});

describe('the merges of tokenizer.json', () => {
  it('may be strings or pairs', async () => {
    const definition = JSON.parse(await readFile(join(demo, 'tokenizer.json'), 'utf8')) as { model: { merges: string[][] } };
    definition.model.merges = definition.model.merges.map((pair) => pair.join(' ')) as never;
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(definition));
    const tokenizer = await loadTokenizer(folder);
    expect(goldens.texts.map(({ text }) => tokenizer.encode(text))).toEqual(goldens.texts.map(({ ids }) => ids));
  });
});

describe('a broken tokenizer folder', () => {
  const refusal = (file: string, fault: string) => ({
    code: 'INVALID_MODEL',
    message: expect.stringMatching(new RegExp(`${file}.*${fault}`)) as string,
  });

  it('without any vocabulary names vocab.json', async () => {
    await expect(loadTokenizer(folder)).rejects.toMatchObject(refusal('vocab.json', 'no such file'));
  });

  it('without merges names merges.txt', async () => {
    await expect(loadTokenizer(await copy('vocab.json'))).rejects.toMatchObject(refusal('merges.txt', 'no such file'));
  });

  it.each([
    ['tokenizer.json', '{', 'not JSON'],
    ['tokenizer.json', '[]', 'expected a JSON object'],
    ['tokenizer.json', '{"model":{"type":"Unigram"}}', 'BPE'],
    ['tokenizer.json', '{"model":{"type":"BPE","vocab":{},"merges":[]}}', 'vocabulary'],
    ['tokenizer.json', '{"model":{"type":"BPE","vocab":{"a":1.5},"merges":[]}}', 'the id of "a" is 1.5'],
    ['tokenizer.json', '{"model":{"type":"BPE","vocab":{"a":1},"merges":["a"]}}', '"a" is not a merge'],
    ['tokenizer.json', '{"model":{"type":"BPE","vocab":{"a":1},"merges":[]},"added_tokens":[{"id":2}]}', 'added token'],
  ])('refuses %s with %s', async (name, text, fault) => {
    await writeFile(join(folder, name), text);
    await expect(loadTokenizer(folder)).rejects.toMatchObject(refusal(name, fault));
  });

  it('refuses a file that is far too large unread', async () => {
    await copy('tokenizer.json');
    const file = await open(join(folder, 'tokenizer.json'), 'r+');
    await file.truncate(65 * 1024 * 1024);
    await file.close();
    await expect(loadTokenizer(folder)).rejects.toMatchObject(refusal('tokenizer.json', 'at most'));
  });
});
