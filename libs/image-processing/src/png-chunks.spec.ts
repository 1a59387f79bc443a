import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { insertTextChunks, withoutTextChunks } from './png-chunks.js';

const png = readFileSync(join(__dirname, '../../../test/fixtures/quadrants.png'));

describe(withoutTextChunks.name, () => {
  it('takes out what insertTextChunks put in, and nothing else', () => {
    const texts = { parameters: 'a red circle', 'XML:com.adobe.xmp': '<x/>', empty: '' };
    expect(withoutTextChunks(insertTextChunks(png, texts)).equals(png)).toBe(true);
    expect(withoutTextChunks(png).equals(png)).toBe(true);
  });

  it('leaves a file as it is from where it is broken', () => {
    const texts = insertTextChunks(png, { parameters: 'a red circle' });
    for (const length of [8, 20, 33, 40, 41, 60, texts.length - 1]) {
      const cut = texts.subarray(0, length);
      const rest = withoutTextChunks(cut);
      expect(rest.subarray(0, 33).equals(cut.subarray(0, 33))).toBe(true);
      expect(rest.length).toBe(length === texts.length - 1 ? png.length - 1 : length);
    }
    const endless = Buffer.from(png);
    endless.writeUInt32BE(0xffffffff, 8);
    expect(withoutTextChunks(endless).equals(endless)).toBe(true);
  });
});
