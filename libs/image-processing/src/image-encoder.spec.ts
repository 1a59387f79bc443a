import sharp from 'sharp';
import { ImageEncoder } from './image-encoder.js';
import { imageFormats } from './image-format.js';
import type { PictureDescription, Provenance } from './provenance.js';
import type { Pixels } from './pixels.js';

const encoder = new ImageEncoder();
const sourceType = 'http://cv.iptc.org/newscodes/digitalsourcetype';

const picture: Pixels = {
  width: 16,
  height: 8,
  channels: 3,
  data: Uint8Array.from({ length: 16 * 8 * 3 }, (_, i) => (i * 7) % 256),
};

const description: PictureDescription = {
  prompt: 'a <red> & "blue" circle ]]> \u0000\u0008 \ud83d\ude00 \ufffe \ud800',
  negative_prompt: ' ',
  seed: 7,
  parameters: { width: 16, height: 8 },
  model: 'demo',
  software: 'qwen-image-server 0.0.0',
};

async function packetOf(file: Buffer): Promise<string> {
  const { xmp } = await sharp(file).metadata();
  return xmp?.toString('utf8') ?? '';
}

function describedIn(packet: string): PictureDescription & { truncated?: boolean } {
  const text = /<rdf:li xml:lang="x-default">(.*)<\/rdf:li>/s.exec(packet)?.[1] ?? '';
  return JSON.parse(text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')) as PictureDescription;
}

async function encode(format: 'png' | 'jpeg' | 'webp', provenance: Partial<Provenance> = {}): Promise<Buffer> {
  return encoder.encode(picture, { format, quality: 90 }, { fromImage: false, description, ...provenance });
}

describe(ImageEncoder.name, () => {
  it.each(imageFormats)('puts a packet into %s that says how the picture came to be', async (format) => {
    const file = await encode(format);
    expect((await sharp(file).metadata()).format).toBe(format);
    const packet = await packetOf(file);
    expect(packet).toContain(`<Iptc4xmpExt:DigitalSourceType>${sourceType}/trainedAlgorithmicMedia<`);
    expect(describedIn(packet)).toEqual(description);
    // Plain in the file, for readers that only search its bytes.
    expect(file.includes('<x:xmpmeta')).toBe(true);
  });

  it.each(imageFormats)('marks a %s drawn from a picture as a composite', async (format) => {
    expect(await packetOf(await encode(format, { fromImage: true }))).toContain(
      `${sourceType}/compositeWithTrainedAlgorithmicMedia<`,
    );
  });

  it.each(imageFormats)('leaves prompt and parameters out of %s when asked to, the mark never', async (format) => {
    const file = await encode(format, { description: null });
    expect(await packetOf(file)).toContain(`${sourceType}/trainedAlgorithmicMedia<`);
    expect(file.includes('circle')).toBe(false);
    expect(file.includes('parameters')).toBe(false);
  });

  it('keeps the pixels of a PNG and its chunks in order', async () => {
    const file = await encode('png');
    const { data } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
    expect(data.equals(Buffer.from(picture.data))).toBe(true);
    const comments = (await sharp(file).metadata()).comments ?? [];
    const text = comments.find(({ keyword }) => keyword.includes('parameters'))?.text ?? '{}';
    expect(JSON.parse(text)).toEqual(description);
  });

  it.each(imageFormats)('writes the same %s twice', async (format) => {
    expect((await encode(format)).equals(await encode(format))).toBe(true);
  });

  it.each(imageFormats)('writes no character into %s that XML cannot hold', async (format) => {
    const packet = await packetOf(await encode(format));
    expect(packet).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/);
  });

  it('cuts the prompt where a JPEG cannot hold it, and says so', async () => {
    const long = { ...description, prompt: '圓'.repeat(32_000) };
    const cut = describedIn(await packetOf(await encode('jpeg', { description: long })));
    expect(cut).toMatchObject({ truncated: true, seed: 7 });
    expect(describedIn(await packetOf(await encode('webp', { description: long })))).toEqual(long);
  });

  it.each([59_000, 59_999, 60_000, 60_001, 62_000, 65_503, 65_504, 65_505, 70_000])(
    'keeps the packet of a JPEG that would have %i bytes',
    async (packetBytes) => {
      const packetFor = async (chars: number) =>
        packetOf(await encode('jpeg', { description: { ...description, prompt: 'x'.repeat(chars) } }));
      const chars = packetBytes - Buffer.byteLength(await packetFor(0));
      const { prompt, truncated = false } = describedIn(await packetFor(chars));
      const fits = packetBytes <= 60_000;
      expect([prompt.length, truncated]).toEqual([fits ? chars : Math.floor(chars / 2), !fits]);
    },
  );

  it('honours the quality', async () => {
    const small = await encoder.encode(picture, { format: 'jpeg', quality: 10 }, { fromImage: false, description });
    expect(small.length).toBeLessThan((await encode('jpeg')).length);
  });
});
