import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { deflateSync } from 'node:zlib';
import { Client, errorOf, firstOf, fixture, small } from '../e2e/client.js';
import { Server } from '../e2e/server.js';
import { chunk } from './png-file.js';

const fields = { prompt: 'a red circle', seed: 1, num_inference_steps: 4 };
const png = fixture('quadrants.png');
const maxMemory = 100e6;

describe('a file that is no whole picture', () => {
  let server: Server;
  let client: Client;
  let asBefore: Buffer;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
    asBefore = firstOf(await client.draw(small)).data;
  });
  afterAll(async () => {
    expect(firstOf(await client.draw(small)).data.equals(asBefore)).toBe(true);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  async function expectRefused(file: Buffer, status: number, code: string): Promise<string> {
    const error = await errorOf(await client.postForm(fields, file));
    expect(error).toMatchObject({ status, code, param: 'image', details: [{ field: 'image' }] });
    return error.message;
  }

  it.each<[string, () => Buffer | Promise<Buffer>]>([
    ['a JPEG of which 45 % are missing', () => fixture('truncated.jpg')],
    ['a JPEG without its last tenth', () => cut(fixture('whole.jpg'), 0.9)],
    ['a JPEG that ends in its header', () => fixture('whole.jpg').subarray(0, 100)],
    [
      'a progressive JPEG of which half is missing',
      async () => cut(await sharp(fixture('whole.jpg')).jpeg({ progressive: true }).toBuffer(), 0.5),
    ],
    ['a PNG of which half is missing', () => fixture('truncated.png')],
    [
      'an interlaced PNG of which half is missing',
      async () => cut(await sharp(fixture('whole.jpg')).png({ progressive: true }).toBuffer(), 0.5),
    ],
    ['a PNG with a wrong byte in its pixels', () => changed(png, Math.floor(png.length / 2))],
    ['a PNG without pixels', () => Buffer.concat([png.subarray(0, 33), chunk('IEND', Buffer.alloc(0))])],
    ['a WebP of which half is missing', async () => cut(await sharp(fixture('whole.jpg')).webp().toBuffer(), 0.5)],
    [
      'a lossless WebP of which half is missing',
      async () => cut(await sharp(fixture('whole.jpg')).webp({ lossless: true }).toBuffer(), 0.5),
    ],
    ['nothing', () => Buffer.alloc(0)],
    ['the signature of a PNG', () => png.subarray(0, 8)],
    ['the signature of a JPEG', () => Buffer.from('ffd8ff', 'hex')],
    ['the signature of a WebP', () => Buffer.from('RIFF\0\0\0\0WEBP', 'latin1')],
    ['a PNG of no width', () => withSize(png, 0, 96)],
    ['a PNG of no height', () => withSize(png, 96, 0)],
    ['zeros behind the signature of a PNG', () => Buffer.concat([png.subarray(0, 8), Buffer.alloc(100_000)])],
  ])('is refused: %s', async (_name, make) => {
    await expectRefused(await make(), 422, 'INVALID_IMAGE');
  });

  it.each<[string, () => Buffer | Promise<Buffer>]>([
    ['text', () => Buffer.from('not a picture')],
    ['one byte', () => Buffer.from([0x89])],
    ['zeros', () => Buffer.alloc(1000)],
    ['a GIF', () => sharp(png).gif().toBuffer()],
    ['a TIFF', () => sharp(png).tiff().toBuffer()],
    ['an AVIF', () => sharp(png).avif().toBuffer()],
    ['an SVG', () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96"/>')],
    [
      'an SVG that asks for a file',
      () => Buffer.from('<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'),
    ],
    ['a BMP', () => Buffer.concat([Buffer.from('BM'), Buffer.alloc(100)])],
    ['a PDF', () => Buffer.from('%PDF-1.7\n')],
    ['a picture behind a space', () => Buffer.concat([Buffer.from(' '), png])],
  ])('is refused by its bytes: %s', async (_name, make) => {
    await expectRefused(await make(), 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  it('is told from one that is whole, with something behind its end or not', async () => {
    for (const file of [fixture('whole.jpg'), png, Buffer.concat([png, Buffer.alloc(1000)])]) {
      expect(await client.redraw(fields, file)).toMatchObject({ width: 96, height: 96 });
    }
  });

  it.each<[string, () => Buffer, string]>([
    ['100 megapixels in 12 KB', () => fixture('bomb-10000x10000.png'), '10000x10000 = 100000000'],
    ['400 megapixels in 48 KB', () => fixture('bomb-20000x20000.png'), '20000x20000 = 400000000'],
    ['a header of 60000x60000', () => fixture('header-60000x60000.png'), '60000x60000 = 3600000000'],
    ['a JPEG header of 65500x65500', () => fixture('header-65500x65500.jpg'), '65500x65500 = 4290250000'],
    ['a WebP header of 16383x16383', () => webpHeader(), '16383x16383 = 268402689'],
    ['one row more than may come', () => withSize(png, 10_000, 5001), '10000x5001 = 50010000'],
    ['one very long row', () => withSize(png, 60_000_000, 1), '60000000x1 = 60000000'],
  ])('and unpacks to a great deal is refused before it does, while others are served: %s', async (_name, make, size) => {
    const before = peakMemory(server.pid);
    const health: Promise<number>[] = [];
    const poll = setInterval(() => health.push(client.get('/health').then(({ status }) => status)), 5);
    const told = await Promise.all(Array.from({ length: 8 }, () => expectRefused(make(), 422, 'INVALID_IMAGE')));
    clearInterval(poll);
    health.push(client.get('/health').then(({ status }) => status));
    expect(new Set(await Promise.all(health))).toEqual(new Set([200]));
    expect(peakMemory(server.pid) - before).toBeLessThan(maxMemory);
    for (const message of told) expect(message).toContain(`has ${size} pixels, at most 50000000 may come`);
  });

  it.each([
    ['zTXt', 'k\0\0'],
    ['iTXt', 'k\0\x01\0\0\0'],
    ['iCCP', 'k\0\0'],
  ])('is drawn from without unpacking what its %s chunks hold', async (type, begin) => {
    const packed = chunk(type, Buffer.concat([Buffer.from(begin, 'latin1'), deflateSync(Buffer.alloc(20_000_000))]));
    const file = Buffer.concat([png.subarray(0, 33), ...Array<Buffer>(200).fill(packed), png.subarray(33)]);
    const before = peakMemory(server.pid);
    const [drawn, plain] = [await client.redraw(fields, file), await client.redraw(fields, png)];
    expect(drawn.data.equals(plain.data)).toBe(true);
    expect(peakMemory(server.pid) - before).toBeLessThan(maxMemory);
  });
});

describe('a picture that takes too long to decode', () => {
  it('is refused, and the next one is drawn', async () => {
    const server = await Server.ready('--set', 'limits.decodeTimeoutMs=25');
    const client = new Client(server);
    const large = await sharp({ create: { width: 7000, height: 7000, channels: 3, background: '#dc1e1e' } })
      .jpeg()
      .toBuffer();
    const error = await errorOf(await client.postForm(fields, large));
    expect(error).toMatchObject({ status: 422, code: 'INVALID_IMAGE', param: 'image' });
    expect(error.message).toContain('it takes longer than 25 ms');
    expect(await client.draw(small)).toHaveLength(1);
    expect(await server.stop()).toMatchObject({ code: 0 });
  });
});

function cut(file: Buffer, share: number): Buffer {
  return file.subarray(0, Math.floor(file.length * share));
}

function changed(file: Buffer, at: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt8(copy.readUInt8(at) ^ 0xff, at);
  return copy;
}

/** The file with another size in its header, whose sum is right. */
function withSize(file: Buffer, width: number, height: number): Buffer {
  const data = Buffer.from(file.subarray(16, 29));
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  return Buffer.concat([file.subarray(0, 8), chunk('IHDR', data), file.subarray(33)]);
}

/** Lossless: signature 0x2f, then 14 bits of width - 1, 14 of height - 1. */
function webpHeader(): Buffer {
  const body = Buffer.alloc(64);
  body.writeUInt8(0x2f, 0);
  body.writeUInt32LE(16_382 | (16_382 << 14), 1);
  const head = Buffer.from('RIFF????WEBPVP8L????', 'latin1');
  head.writeUInt32LE(12 + body.length, 4);
  head.writeUInt32LE(body.length, 16);
  return Buffer.concat([head, body]);
}

/** Bytes: the most that the process ever held. */
function peakMemory(pid: number): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
