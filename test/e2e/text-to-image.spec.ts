import { Client, errorOf, firstOf, small } from './client.js';
import { meanDistance } from './equal-in-8-bits.js';
import { Server } from './server.js';

describe('POST /text-to-image', () => {
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** The server still draws, and draws what it drew before. */
  let asBefore: Buffer;
  beforeAll(async () => (asBefore = firstOf(await client.draw(small)).data));
  afterEach(async () => {
    expect(firstOf(await client.draw(small)).data.equals(asBefore)).toBe(true);
  });

  it.each(['image/png', 'image/jpeg', 'image/webp'])('gives the same bytes of %s for the same request', async (accept) => {
    const [a, b] = [await client.postJson(small, { accept }), await client.postJson(small, { accept })];
    expect([a.status, a.headers.get('content-type')]).toEqual([200, accept]);
    const [first, second] = [Buffer.from(await a.arrayBuffer()), Buffer.from(await b.arrayBuffer())];
    expect(first.equals(second)).toBe(true);
    expect(first.includes('trainedAlgorithmicMedia')).toBe(true);
    expect(first.includes('a red circle')).toBe(true);
  });

  it('draws another picture for another seed', async () => {
    expect(firstOf(await client.draw({ ...small, seed: 2 })).data.equals(asBefore)).toBe(false);
  });

  it('refuses special tokens that stand for images', async () => {
    const response = await client.postJson({ ...small, prompt: 'a <|image_pad|> circle' });
    expect(await errorOf(response)).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  });

  it('gives a JPEG and a WebP that are near the PNG', async () => {
    const png = firstOf(await client.draw(small));
    for (const output_format of ['jpeg', 'webp']) {
      const picture = firstOf(await client.draw({ ...small, output_format, output_quality: 95 }));
      expect(meanDistance(picture, png)).toBeLessThan(6);
    }
  });
});
