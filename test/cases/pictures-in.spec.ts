import sharp, { type Sharp } from 'sharp';
import { answerOf, Client, fixture, firstOf, picturesOf, type Picture } from '../e2e/client.js';
import { meanDistance } from '../e2e/equal-in-8-bits.js';
import { Server } from '../e2e/server.js';
import { chunk, grayType, paletteType, pngOf } from './png-file.js';

/** Keeps the picture: what comes out shows what went in. */
const faint = { prompt: 'a red circle', seed: 1, num_inference_steps: 4, strength: 0.2 };
const quadrants = () => sharp(fixture('quadrants.png'));

/** Pixels as a camera stores them that writes this orientation into EXIF, of a picture that is seen upright. */
const stored: Readonly<Record<number, (upright: Sharp) => Promise<Buffer>>> = {
  1: (upright) => upright.png().toBuffer(),
  2: (upright) => upright.flop().png().toBuffer(),
  3: (upright) => upright.rotate(180).png().toBuffer(),
  4: (upright) => upright.flip().png().toBuffer(),
  5: async (upright) =>
    sharp(await upright.rotate(90).png().toBuffer())
      .flop()
      .png()
      .toBuffer(),
  6: (upright) => upright.rotate(270).png().toBuffer(),
  7: async (upright) =>
    sharp(await upright.rotate(90).png().toBuffer())
      .flip()
      .png()
      .toBuffer(),
  8: (upright) => upright.rotate(90).png().toBuffer(),
};

describe('a picture is seen as a person sees it', () => {
  let server: Server;
  let client: Client;
  const redrawn = new Map<string, Picture>();
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const redraw = (file: Buffer, changes: object = {}) => client.redraw({ ...faint, ...changes }, file);

  /** What is drawn from a fixture, once. */
  async function redrawnFrom(name: string, changes: object = {}): Promise<Picture> {
    const key = `${name} ${JSON.stringify(changes)}`;
    const picture = redrawn.get(key) ?? (await redraw(fixture(name), changes));
    redrawn.set(key, picture);
    return picture;
  }

  async function expectSeenAs(right: string, wrong: string, file: Buffer): Promise<void> {
    const seen = await redraw(file);
    const size = { width: seen.width, height: seen.height };
    const [asRight, asWrong] = [await redrawnFrom(right, size), await redrawnFrom(wrong, size)];
    expect(meanDistance(seen, asRight) * 3).toBeLessThan(meanDistance(seen, asWrong));
  }

  it('turned upright, and sent back in a file that nobody turns again', async () => {
    const file = fixture('exif-orientation-6.jpg');
    await expectSeenAs('exif-orientation-6.upright.png', 'exif-orientation-6.sideways.png', file);
    for (const output_format of ['png', 'jpeg', 'webp']) {
      const answer = await answerOf(await client.postForm({ ...faint, output_format }, file));
      expect(answer).toMatchObject({ images: [{ width: 64, height: 96 }], parameters: { width: 64, height: 96 } });
      const drawn = await sharp(Buffer.from(answer.images[0]?.b64_json ?? '', 'base64')).metadata();
      expect([drawn.width, drawn.height, drawn.orientation ?? 1]).toEqual([64, 96, 1]);
    }
  });

  it.each(
    ['jpeg', 'png', 'webp'].flatMap((format) => Object.keys(stored).map((orientation) => [Number(orientation), format] as const)),
  )('turned upright from orientation %i of a %s', async (orientation, format) => {
    const upright = sharp(fixture('exif-orientation-6.upright.png'));
    const pixels = await stored[orientation]!(upright);
    const file = await sharp(pixels)
      .withMetadata({ orientation })
      .toFormat(format as 'png', format === 'jpeg' ? { quality: 100, chromaSubsampling: '4:4:4' } : { lossless: true })
      .toBuffer();
    const [seen, right] = [await redraw(file), await redrawnFrom('exif-orientation-6.upright.png')];
    expect([seen.width, seen.height]).toEqual([64, 96]);
    if (format === 'jpeg') expect(meanDistance(seen, right)).toBeLessThan(3);
    else expect(seen.data.equals(right.data)).toBe(true);
  });

  it.each([0, 9, 65535])('as it is stored when its orientation is %i, which is none', async (orientation) => {
    // The value of the orientation's entry, of a file that says 6.
    const file = Buffer.from(fixture('exif-orientation-6.jpg'));
    const entry = file.indexOf(Buffer.from('12010300', 'hex')) >= 0 ? 'little' : 'big';
    const at = file.indexOf(Buffer.from(entry === 'little' ? '12010300' : '01120003', 'hex')) + 8;
    if (entry === 'little') file.writeUInt16LE(orientation, at);
    else file.writeUInt16BE(orientation, at);
    expect(await redraw(file)).toMatchObject({ width: 96, height: 64 });
  });

  it('in its colours when it is CMYK without a profile', async () => {
    await expectSeenAs(
      'cmyk-without-profile.right.png',
      'cmyk-without-profile.inverted.png',
      fixture('cmyk-without-profile.jpg'),
    );
  });

  it('from black to white when it is gray of 16 bits', async () => {
    await expectSeenAs('gray-16-bit.ramp.png', 'gray-16-bit.white.png', fixture('gray-16-bit.png'));
  });

  it.each<[string, () => Promise<Buffer>]>([
    ['PNG of 16 bits', () => quadrants().toColourspace('rgb16').png().toBuffer()],
    ['PNG of 16 bits with alpha', () => quadrants().ensureAlpha().toColourspace('rgb16').png().toBuffer()],
    ['PNG, interlaced', () => quadrants().png({ progressive: true }).toBuffer()],
    ['PNG of 16 bits, interlaced', () => quadrants().toColourspace('rgb16').png({ progressive: true }).toBuffer()],
    ['PNG with opaque alpha', () => quadrants().ensureAlpha().png().toBuffer()],
    ['WebP without loss', () => quadrants().webp({ lossless: true }).toBuffer()],
    ['WebP without loss, with opaque alpha', () => quadrants().ensureAlpha().webp({ lossless: true, exact: true }).toBuffer()],
    ['PNG with text in it', () => quadrants().withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>').png().toBuffer()],
    ['animated WebP, by its first frame', () => animation()],
  ])('the same whether it is a plain PNG or a %s', async (_name, make) => {
    expect((await redraw(await make())).data.equals((await redrawnFrom('quadrants.png')).data)).toBe(true);
  });

  it('warns of an animation that only its first frame was used', async () => {
    const answer = await answerOf(await client.postForm(faint, await animation()));
    expect(answer.warnings).toEqual([{ code: 'ANIMATION_CUT', field: 'image', message: '2 frames, the first was used' }]);
  });

  it.each<[string, () => Promise<Buffer>]>([
    ['JPEG', () => quadrants().jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer()],
    ['progressive JPEG', () => quadrants().jpeg({ quality: 100, chromaSubsampling: '4:4:4', progressive: true }).toBuffer()],
    ['JPEG with half the colours', () => quadrants().jpeg({ quality: 95, chromaSubsampling: '4:2:0' }).toBuffer()],
    [
      'JPEG of another colour space',
      () => quadrants().withIccProfile('p3').jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer(),
    ],
    ['PNG of another colour space', () => quadrants().withIccProfile('p3').png().toBuffer()],
    ['PNG of a palette', () => quadrants().png({ palette: true, colours: 256, dither: 0 }).toBuffer()],
    ['WebP', () => quadrants().webp({ quality: 100 }).toBuffer()],
    [
      'CMYK JPEG with a profile',
      () => quadrants().toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 100 }).toBuffer(),
    ],
  ])('nearly the same whether it is a plain PNG or a %s', async (_name, make) => {
    const seen = await redraw(await make());
    const inverted = await redraw(await quadrants().negate().png().toBuffer());
    const right = await redrawnFrom('quadrants.png');
    expect(meanDistance(seen, right) * 3).toBeLessThan(meanDistance(seen, inverted));
  });

  it.each([1, 2, 4, 8, 16])('gray from black to white when it is a PNG of %i bits', async (bitDepth) => {
    const most = 2 ** bitDepth - 1;
    const step = (x: number) => Math.floor((x * Math.min(most + 1, 96)) / 96) / (Math.min(most + 1, 96) - 1);
    const side = { width: 96, height: 96 };
    const packed = pngOf({ ...side, bitDepth, colourType: grayType }, (x) => Math.round(step(x) * most));
    const shades = Buffer.from(Array.from({ length: 96 * 96 }, (_, i) => Math.round(step(i % 96) * 255)));
    const rgb = await sharp(shades, { raw: { ...side, channels: 1 } })
      .toColourspace('srgb')
      .png()
      .toBuffer();
    expect([packed[24], rgb[25]]).toEqual([bitDepth, 2]); // bits; colour type RGB
    expect(meanDistance(await redraw(packed), await redraw(rgb))).toBeLessThan(bitDepth === 16 ? 1 : 1e-9);
  });

  it.each([
    [
      'palette of 1 bit',
      1,
      paletteType,
      [chunk('PLTE', Buffer.from('00ff00' + '0000ff', 'hex')), chunk('tRNS', Buffer.from([0]))],
    ],
    [
      'palette of 8 bits',
      8,
      paletteType,
      [chunk('PLTE', Buffer.from('00ff00' + '0000ff', 'hex')), chunk('tRNS', Buffer.from([0]))],
    ],
    ['gray of 1 bit', 1, grayType, [chunk('tRNS', Buffer.from([0, 0]))]],
    ['gray of 8 bits', 8, grayType, [chunk('tRNS', Buffer.from([0, 0]))]],
    ['gray of 16 bits', 16, grayType, [chunk('tRNS', Buffer.from([0, 0]))]],
  ])('white where a %s names its transparent colour', async (_name, bitDepth, colourType, chunks) => {
    const side = { width: 64, height: 64 };
    const opaque = colourType === paletteType ? 1 : 2 ** bitDepth - 1;
    const seen = await redraw(pngOf({ ...side, bitDepth, colourType, chunks }, (x) => (x < 32 ? 0 : opaque)));
    const shown = Buffer.alloc(64 * 64 * 3, 255);
    for (let i = 0; i < 64 * 64; i++) if (colourType === paletteType && i % 64 >= 32) shown.set([0, 0, 255], 3 * i);
    const right = await redraw(
      await sharp(shown, { raw: { ...side, channels: 3 } })
        .png()
        .toBuffer(),
    );
    expect(seen.data.equals(right.data)).toBe(true);
  });

  it.each<[string, (image: Sharp) => Sharp]>([
    ['PNG', (image) => image.png()],
    ['PNG of 16 bits', (image) => image.toColourspace('rgb16').png()],
    ['interlaced PNG', (image) => image.png({ progressive: true })],
    ['WebP without loss', (image) => image.webp({ lossless: true, exact: true })],
  ])('without the colours that are hidden under the alpha of a %s', async (_name, write) => {
    const shown = await quadrants().removeAlpha().raw().toBuffer();
    const make = (hidden: readonly number[]) => {
      const rgba = Buffer.alloc(96 * 96 * 4);
      for (let i = 0; i < 96 * 96; i++) {
        const visible = i % 96 > 32;
        rgba.set(visible ? shown.subarray(3 * i, 3 * i + 3) : hidden, 4 * i);
        rgba[4 * i + 3] = visible ? 255 : 0;
      }
      return write(sharp(rgba, { raw: { width: 96, height: 96, channels: 4 } })).toBuffer();
    };
    const [black, green, white] = [await make([0, 0, 0]), await make([0, 255, 0]), await make([255, 255, 255])];
    expect(black.equals(green)).toBe(false);
    const pictures = [await redraw(black), await redraw(green), await redraw(await sharp(white).removeAlpha().png().toBuffer())];
    expect(pictures.map(({ data }) => data.equals(pictures[0]!.data))).toEqual([true, true, true]);
  });

  it('without what two files hide that look the same', async () => {
    const [black, green] = [await redraw(fixture('alpha-over-black.png')), await redraw(fixture('alpha-over-green.png'))];
    expect(green.data.equals(black.data)).toBe(true);
  });

  it('half white where its alpha is a half, of gray and of a palette too', async () => {
    const level = async (file: Buffer) => {
      const { data } = await redraw(file);
      return data.reduce((sum, value) => sum + value, 0) / data.length;
    };
    const flat = (alpha: number) =>
      sharp({ create: { width: 64, height: 64, channels: 4, background: { r: 0, g: 0, b: 0, alpha } } });
    const right = await level(
      await sharp({ create: { width: 64, height: 64, channels: 3, background: '#808080' } })
        .png()
        .toBuffer(),
    );
    for (const file of [
      await flat(0.5).png().toBuffer(),
      await flat(0.5).toColourspace('b-w').png().toBuffer(),
      await flat(0.5).png({ palette: true }).toBuffer(),
      await flat(0.5).webp({ lossless: true }).toBuffer(),
    ]) {
      expect(Math.abs((await level(file)) - right)).toBeLessThan(4);
    }
  });

  it('drawn the same whatever its name and its type are said to be', async () => {
    const right = await redrawnFrom('quadrants.png');
    for (const [name, type] of [
      ['picture.jpg', 'image/jpeg'],
      ['picture.svg', 'image/svg+xml'],
      ['../../etc/passwd', 'text/html'],
      ['.', ''],
    ] as const) {
      const form = new FormData();
      for (const [field, value] of Object.entries(faint)) form.set(field, String(value));
      form.set('image', new Blob([new Uint8Array(fixture('quadrants.png'))], { type }), name);
      const answer = await answerOf(await fetch(`${server.url}/image-to-image`, { method: 'POST', body: form }));
      expect(firstOf(await picturesOf(answer)).data.equals(right.data)).toBe(true);
    }
  });
});

async function animation(): Promise<Buffer> {
  const second = await quadrants().negate().png().toBuffer();
  return sharp([fixture('quadrants.png'), second], { join: { animated: true } })
    .webp({ lossless: true, delay: [100, 100] })
    .toBuffer();
}
