import { readFileSync } from 'node:fs';
import { answerOf, Client, errorOf, firstOf, fixture, pictureOf, picturesOf } from './client.js';
import { meanDistance } from './equal-in-8-bits.js';
import { Server } from './server.js';

const fields = { prompt: 'a red circle', seed: 1, num_inference_steps: 4 };
/** Keeps the picture: what comes out shows what went in. */
const faint = { ...fields, strength: 0.2 };

describe('POST /image-to-image', () => {
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** What the file gives is far nearer to what its right twin gives than to its wrong one. */
  async function expectSeenRight(name: string, right: string, wrong: string): Promise<void> {
    const seen = await client.redraw(faint, fixture(name));
    const size = { width: seen.width, height: seen.height };
    const [asRight, asWrong] = [
      await client.redraw({ ...faint, ...size }, fixture(right)),
      await client.redraw({ ...faint, ...size }, fixture(wrong)),
    ];
    expect(meanDistance(seen, asRight) * 3).toBeLessThan(meanDistance(seen, asWrong));
  }

  it('sees a photograph upright, and sends a picture that nobody turns again', async () => {
    await expectSeenRight('exif-orientation-6.jpg', 'exif-orientation-6.upright.png', 'exif-orientation-6.sideways.png');
    const answer = await answerOf(await client.postForm(faint, fixture('exif-orientation-6.jpg')));
    expect(answer.images).toMatchObject([{ width: 64, height: 96 }]);
    expect(Buffer.from(answer.images[0]?.b64_json ?? '', 'base64').includes('Exif')).toBe(false);
  });

  it('sees CMYK without a profile in its colours', async () => {
    await expectSeenRight('cmyk-without-profile.jpg', 'cmyk-without-profile.right.png', 'cmyk-without-profile.inverted.png');
  });

  it('sees a 16-bit gray ramp as a ramp', async () => {
    await expectSeenRight('gray-16-bit.png', 'gray-16-bit.ramp.png', 'gray-16-bit.white.png');
  });

  it('sees the same picture whatever colour hides under its alpha', async () => {
    const [black, green] = [
      await client.redraw(fields, fixture('alpha-over-black.png')),
      await client.redraw(fields, fixture('alpha-over-green.png')),
    ];
    expect(green.data.equals(black.data)).toBe(true);
  });

  it('draws the input’s size, rounded down to the multiple and said so, or the size that was asked for', async () => {
    const input = fixture('odd-250x190.png');
    const own = await answerOf(await client.postForm(faint, input));
    expect(own).toMatchObject({ images: [{ width: 240, height: 176 }], parameters: { width: 240, height: 176 } });
    const asked = await answerOf(await client.postForm({ ...faint, width: 256, height: 192 }, input));
    expect(asked.images).toMatchObject([{ width: 256, height: 192 }]);
    // Nothing is cropped or moved: shrunk back, the picture lies on its input.
    const [drawn, before] = [firstOf(await picturesOf(asked)), await pictureOf(input)];
    const center = (picture: typeof drawn) =>
      picture.data[3 * (picture.width * Math.floor(picture.height / 2) + Math.floor(picture.width / 2))];
    expect(Math.abs((center(drawn) ?? 0) - (center(before) ?? 0))).toBeLessThan(60);
  });

  it.each([0.05, 0.09, 0.1, 1])('draws at strength %d of 10 steps', async (strength) => {
    const drawn = await client.redraw({ ...fields, num_inference_steps: 10, strength }, fixture('quadrants.png'));
    expect(drawn.data.equals((await pictureOf(fixture('quadrants.png'))).data)).toBe(false);
  });

  it('refuses strength 0', async () => {
    const response = await client.postForm({ ...fields, strength: 0 }, fixture('quadrants.png'));
    expect(await errorOf(response)).toMatchObject({ status: 400, param: 'strength' });
  });

  it('takes the fields in any order', async () => {
    const answers = await Promise.all(
      ['form-file-first.body', 'form-text-first.body', 'form-file-middle.body'].map(async (name) => {
        const headers = { 'content-type': 'multipart/form-data; boundary=BOUND7' };
        const body = new Uint8Array(fixture(name));
        return answerOf(await fetch(`${server.url}/image-to-image`, { method: 'POST', headers, body }));
      }),
    );
    const [first, ...others] = await Promise.all(answers.map(async (answer) => firstOf(await picturesOf(answer)).data));
    expect(others.map((other) => first && other.equals(first))).toEqual([true, true]);
  });

  it.each([
    ['truncated.jpg', 422, 'INVALID_IMAGE'],
    ['truncated.png', 422, 'INVALID_IMAGE'],
    ['README.md', 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ])('refuses %s', async (name, status, code) => {
    expect(await errorOf(await client.postForm(fields, fixture(name)))).toMatchObject({ status, code, param: 'image' });
  });

  it('refuses an empty file and a missing one', async () => {
    expect(await errorOf(await client.postForm(fields, Buffer.alloc(0)))).toMatchObject({ status: 422, code: 'INVALID_IMAGE' });
    const form = new FormData();
    form.set('prompt', 'a red circle');
    const response = await fetch(`${server.url}/image-to-image`, { method: 'POST', body: form });
    expect(await errorOf(response)).toMatchObject({ status: 400, param: 'image' });
  });

  it('refuses a file over the limit', async () => {
    const response = await client.postForm(fields, Buffer.alloc(20 * 1024 * 1024 + 1));
    expect(await errorOf(response)).toMatchObject({ status: 413, code: 'PAYLOAD_TOO_LARGE' });
  });

  it.each(['bomb-10000x10000.png', 'bomb-20000x20000.png', 'header-60000x60000.png', 'header-65500x65500.jpg'])(
    'refuses %s without unpacking it',
    async (name) => {
      const before = peakMemory(server.pid);
      expect(await errorOf(await client.postForm(fields, fixture(name)))).toMatchObject({ status: 422, code: 'INVALID_IMAGE' });
      expect(peakMemory(server.pid) - before).toBeLessThan(100e6);
      expect((await client.get('/health')).status).toBe(200);
    },
  );

  it('draws a whole JPEG', async () => {
    expect(await client.redraw(fields, fixture('whole.jpg'))).toMatchObject({ width: 96, height: 96 });
  });
});

/** Bytes: the most that the process ever held. */
function peakMemory(pid: number): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
