import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import plainSharp from 'sharp';
import { chunk } from '../../../test/cases/png-file.js';
import { ImageDecoder } from './image-decoder.js';
import type { Pixels } from './pixels.js';

const maxInputPixels = 50_000_000;
const imageDecoder = new ImageDecoder({ maxInputPixels, decodeTimeoutMs: 10_000 });
const decode = (bytes: Buffer) => imageDecoder.decode({ field: 'image', bytes });
const readHeader = (bytes: Buffer) => imageDecoder.readHeader({ field: 'image', bytes });

function fixture(name: string): Buffer {
  return readFileSync(join(__dirname, '../../../test/fixtures', name));
}

function pixel(image: Pixels, x: number, y: number): number[] {
  const at = (y * image.width + x) * image.channels;
  return [...image.data.subarray(at, at + 3)];
}

async function meanDistance(name: string, other: string): Promise<number> {
  const [a, b] = await Promise.all([decode(fixture(name)), decode(fixture(other))]);
  expect([a.width, a.height]).toEqual([b.width, b.height]);
  return a.data.reduce((sum, value, i) => sum + Math.abs(value - (b.data[i] ?? 0)), 0) / a.data.length;
}

const solid = (background: string) => plainSharp({ create: { width: 8, height: 6, channels: 3, background } });

describe(ImageDecoder.name, () => {
  it.each(['png', 'jpeg', 'webp'] as const)('reads %s into RGB', async (format) => {
    const image = await decode(await solid('#dc1e1e').toFormat(format, { quality: 100 }).toBuffer());
    expect(image).toMatchObject({ width: 8, height: 6, channels: 3 });
    expect(image.data).toHaveLength(8 * 6 * 3);
    const [red = 0, green = 0, blue = 0] = pixel(image, 4, 3);
    expect(Math.max(Math.abs(red - 220), Math.abs(green - 30), Math.abs(blue - 30))).toBeLessThan(6);
  });

  it('turns a photograph upright, and tells its upright size', async () => {
    expect(await readHeader(fixture('exif-orientation-6.jpg'))).toEqual({
      format: 'jpeg',
      width: 64,
      height: 96,
      frames: 1,
    });
    expect(await meanDistance('exif-orientation-6.jpg', 'exif-orientation-6.upright.png')).toBeLessThan(5);
  });

  it('reads CMYK without a profile, and does not invert it', async () => {
    const right = await meanDistance('cmyk-without-profile.jpg', 'cmyk-without-profile.right.png');
    const inverted = await meanDistance('cmyk-without-profile.jpg', 'cmyk-without-profile.inverted.png');
    expect(right).toBeLessThan(inverted / 3);
  });

  it('keeps a 16-bit gray ramp a ramp from black to white', async () => {
    expect(await meanDistance('gray-16-bit.png', 'gray-16-bit.ramp.png')).toBeLessThan(1);
  });

  it('composites alpha on white, so that hidden colours stay hidden', async () => {
    const [black, green] = await Promise.all([decode(fixture('alpha-over-black.png')), decode(fixture('alpha-over-green.png'))]);
    expect(pixel(black, 0, 0)).toEqual([255, 255, 255]);
    expect(Buffer.from(green.data).equals(Buffer.from(black.data))).toBe(true);
  });

  it('reads gray, gray with alpha, palette and interlaced pictures as RGB', async () => {
    const gray = await solid('#808080').toColourspace('b-w').png().toBuffer();
    const grayAlpha = await solid('#808080').ensureAlpha(0.5).toColourspace('b-w').png().toBuffer();
    const palette = await solid('#2850dc').png({ palette: true }).toBuffer();
    const interlaced = await solid('#2850dc').png({ progressive: true }).toBuffer();
    expect(pixel(await decode(gray), 1, 1)).toEqual([128, 128, 128]);
    const [mixed = 0] = pixel(await decode(grayAlpha), 1, 1);
    expect(Math.abs(mixed - 191)).toBeLessThanOrEqual(1);
    expect(pixel(await decode(palette), 1, 1)).toEqual([40, 80, 220]);
    expect(pixel(await decode(interlaced), 1, 1)).toEqual([40, 80, 220]);
  });

  it('takes the first frame of an animation, and tells how many there are', async () => {
    const frames = await Promise.all([solid('#ff0000').png().toBuffer(), solid('#0000ff').png().toBuffer()]);
    const animation = await plainSharp(frames, { join: { animated: true } })
      .webp({ lossless: true })
      .toBuffer();
    const image = await decode(animation);
    expect([image.width, image.height, image.frames]).toEqual([8, 6, 2]);
    expect(pixel(image, 4, 3)).toEqual([255, 0, 0]);
    const still = await solid('#ff0000').png().toBuffer();
    expect((await decode(still)).frames).toBe(1);
    // Behind the header, whose chunk has 25 bytes: 7 frames, played without end.
    const control = chunk('acTL', Buffer.from([0, 0, 0, 7, 0, 0, 0, 0]));
    const moving = Buffer.concat([still.subarray(0, 33), control, still.subarray(33)]);
    expect((await decode(moving)).frames).toBe(7);
    expect((await readHeader(moving)).frames).toBe(7);
  });

  it.each([
    ['an empty file', () => Buffer.alloc(0)],
    ['a truncated JPEG', () => fixture('truncated.jpg')],
    ['a truncated PNG', () => fixture('truncated.png')],
    ['a bare signature', () => fixture('truncated.png').subarray(0, 8)],
    ['a PNG of zero width', () => zeroWidth()],
  ])('refuses %s', async (_name, bytes) => {
    await expect(decode(bytes())).rejects.toMatchObject({ code: 'INVALID_IMAGE', field: 'image' });
  });

  it.each(['bomb-10000x10000.png', 'bomb-20000x20000.png', 'header-60000x60000.png', 'header-65500x65500.jpg'])(
    'refuses %s by its header',
    async (name) => {
      await expect(readHeader(fixture(name))).rejects.toMatchObject({
        code: 'INVALID_IMAGE',
        message: expect.stringContaining(`at most ${maxInputPixels}`),
      });
    },
  );

  it('does not unpack the texts of a PNG, however much they hold', async () => {
    const png = fixture('quadrants.png');
    const nothing = deflateSync(Buffer.alloc(50_000_000));
    const text = textChunk(Buffer.concat([Buffer.from('k\0\0', 'latin1'), nothing]));
    // Unpacked, these are 20 GB.
    const bytes = Buffer.concat([png.subarray(0, 33), ...Array<Buffer>(400).fill(text), png.subarray(33)]);
    const decoder = new ImageDecoder({ maxInputPixels, decodeTimeoutMs: 2000 });
    const image = await decoder.decode({ field: 'image', bytes });
    expect(Buffer.from(image.data).equals(Buffer.from((await decode(png)).data))).toBe(true);
  });

  it('gives up on a picture that takes too long, and says so', async () => {
    const large = await plainSharp({ create: { width: 5000, height: 5000, channels: 3, background: '#dc1e1e' } })
      .png()
      .toBuffer();
    const decoder = new ImageDecoder({ maxInputPixels, decodeTimeoutMs: 1 });
    await expect(decoder.decode({ field: 'image', bytes: large })).rejects.toMatchObject({
      code: 'INVALID_IMAGE',
      message: 'cannot be decoded: it takes longer than 1 ms',
    });
  });

  it('ends no reason in a colon', async () => {
    await expect(decode(fixture('quadrants.png').subarray(0, 20))).rejects.toMatchObject({
      code: 'INVALID_IMAGE',
      message: 'cannot be decoded: Input buffer has corrupt header',
    });
  });

  it.each([
    ['SVG', () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>')],
    ['GIF', () => Buffer.from('R0lGODlhAQABAAAAACwAAAAAAQABAAA=', 'base64')],
    ['TIFF', () => Buffer.from('49492a0008000000', 'hex')],
    ['text', () => Buffer.from('not a picture at all')],
  ])('refuses %s by its bytes', async (_name, bytes) => {
    await expect(decode(bytes())).rejects.toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' });
  });
});

function textChunk(data: Buffer): Buffer {
  const framed = Buffer.concat([Buffer.alloc(4), Buffer.from('zTXt'), data, Buffer.alloc(4)]);
  framed.writeUInt32BE(data.length, 0);
  framed.writeUInt32BE(crc32(framed.subarray(4, -4)), framed.length - 4);
  return framed;
}

function zeroWidth(): Buffer {
  const bytes = Buffer.from(fixture('quadrants.png'));
  bytes.writeUInt32BE(0, 16);
  return bytes;
}
