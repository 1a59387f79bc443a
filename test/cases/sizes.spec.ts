import sharp from 'sharp';
import { answerOf, Client, errorOf, firstOf, fixture, picturesOf, small, type Picture } from '../e2e/client.js';
import { Server } from '../e2e/server.js';

/** Keeps the picture: what comes out shows what went in. */
const faint = { prompt: 'a red circle', seed: 1, num_inference_steps: 4, strength: 0.1 };

describe('the size of a picture', () => {
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const plain = (width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background: '#2850dc' } })
      .png()
      .toBuffer();

  it.each([
    [200, 200, ['width', 'height']],
    [1080, 64, ['width']],
    [64, 1080, ['height']],
    [65, 63, ['width', 'height']],
    [72, 64, ['width']],
  ])('%ix%i is refused, with each side that is wrong', async (width, height, wrong) => {
    const error = await errorOf(await client.postJson({ ...small, width, height }));
    expect(error).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT', param: wrong[0] });
    const value = { width, height } as Record<string, number>;
    expect(error.details).toEqual(
      wrong.map((side) => ({ field: side, message: `must be a multiple of 16, got ${value[side]}` })),
    );
    for (const side of wrong) expect(error.message).toContain(`${side} must be a multiple of 16`);
  });

  it.each([
    [250, 190, 240, 176],
    [64, 64, 64, 64],
    [79, 65, 64, 64],
    [80, 81, 80, 80],
    [20, 20, 32, 32],
    [1, 1, 32, 32],
    [512, 512, 256, 256],
    [1920, 1080, 336, 192],
    [512, 128, 512, 128],
  ])('drawn from one of %ix%i is %ix%i, and told', async (width, height, outWidth, outHeight) => {
    const answer = await answerOf(await client.postForm(faint, await plain(width, height)));
    const size = { width: outWidth, height: outHeight };
    expect(answer).toMatchObject({ images: [size], parameters: size });
    expect(firstOf(await picturesOf(answer))).toMatchObject(size);
  });

  it('drawn from another is the one that was asked for', async () => {
    for (const [width, height] of [
      [256, 192],
      [32, 256],
      [240, 176],
    ] as const) {
      const answer = await answerOf(await client.postForm({ ...faint, width, height }, fixture('odd-250x190.png')));
      expect(answer).toMatchObject({ images: [{ width, height }], parameters: { width, height } });
      expect(firstOf(await picturesOf(answer))).toMatchObject({ width, height });
    }
  });

  it('that is asked for follows the same rules in a form', async () => {
    const error = await errorOf(await client.postForm({ ...faint, width: 250, height: 190 }, fixture('odd-250x190.png')));
    expect(error.details).toEqual([
      { field: 'width', message: 'must be a multiple of 16, got 250' },
      { field: 'height', message: 'must be a multiple of 16, got 190' },
    ]);
    expect(await errorOf(await client.postForm({ ...faint, width: 256 }, fixture('odd-250x190.png')))).toMatchObject({
      status: 400,
      param: 'height',
    });
  });

  it.each([
    [240, 176, {}],
    [256, 192, { width: 256, height: 192 }],
    [128, 96, { width: 128, height: 96 }],
    [64, 256, { width: 64, height: 256 }],
  ])('%ix%i leaves everything in its place: nothing is cropped or zoomed', async (width, height, size) => {
    // A dark cross whose lines are at a third of the width and at two thirds of the height.
    const input = { width: 250, height: 190 };
    const [x, y] = [83, 126];
    const bright = Buffer.alloc(input.width * input.height * 3, 230);
    for (let i = 0; i < input.width * input.height; i++) {
      const [column, row] = [i % input.width, Math.floor(i / input.width)];
      if (Math.abs(column - x) <= 6 || Math.abs(row - y) <= 6) bright.fill(20, 3 * i, 3 * i + 3);
    }
    const file = await sharp(bright, { raw: { ...input, channels: 3 } })
      .png()
      .toBuffer();
    const drawn = await client.redraw({ ...faint, ...size }, file);
    expect(drawn).toMatchObject({ width, height });
    const cross = centreOfDark(drawn);
    expect(Math.abs(cross.x - ((x + 0.5) * width) / input.width)).toBeLessThanOrEqual(1);
    expect(Math.abs(cross.y - ((y + 0.5) * height) / input.height)).toBeLessThanOrEqual(1);
  });

  it('of a very long picture that cannot be kept has to be given', async () => {
    const error = await errorOf(await client.postForm(faint, await plain(20_000, 1)));
    expect(error).toMatchObject({ status: 400, param: 'image' });
    expect(error.message).toContain('give width and height');
    expect(await client.redraw({ ...faint, width: 64, height: 64 }, await plain(20_000, 1))).toMatchObject({ width: 64 });
  });
});

/** Where the darkest column and the darkest row are, as centres of what is darker than the middle of the scale there. */
function centreOfDark({ width, height, data }: Picture): { x: number; y: number } {
  const level = (x: number, y: number) =>
    (data[3 * (y * width + x)]! + data[3 * (y * width + x) + 1]! + data[3 * (y * width + x) + 2]!) / 3;
  const mean = (count: number, at: (i: number) => number) =>
    Array.from({ length: count }, (_, i) => at(i)).reduce((a, b) => a + b, 0) / count;
  const columns = Array.from({ length: width }, (_, x) => mean(height, (y) => level(x, y)));
  const rows = Array.from({ length: height }, (_, y) => mean(width, (x) => level(x, y)));
  return { x: centreOf(columns), y: centreOf(rows) };
}

function centreOf(levels: readonly number[]): number {
  const middle = (Math.min(...levels) + Math.max(...levels)) / 2;
  const weights = levels.map((level) => Math.max(0, middle - level));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.reduce((sum, weight, i) => sum + weight * (i + 0.5), 0) / total;
}
