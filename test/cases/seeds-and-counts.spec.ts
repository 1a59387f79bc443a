import { answerOf, Client, errorOf, firstOf, picturesOf, small } from '../e2e/client.js';
import { Server } from '../e2e/server.js';

describe('seeds and counts', () => {
  let server: Server;
  let client: Client;
  let asBefore: Buffer;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
    asBefore = await pixels({ seed: 1 });
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const pixels = async (fields: object) => firstOf(await client.draw({ ...small, ...fields })).data;
  const raw = (fields: string) =>
    `{"prompt":"a red circle","num_inference_steps":4,"width":64,"height":64${fields === '' ? '' : `,${fields}`}}`;

  it.each([2, 3, 4])('draw each of %i pictures of a request as it is drawn alone', async (count) => {
    const answer = await answerOf(await client.postJson({ ...small, seed: 42, num_images: count }));
    const seeds = answer.images.map(({ seed }) => seed);
    expect(seeds).toEqual([42, 43, 44, 45].slice(0, count));
    const together = await picturesOf(answer);
    expect(new Set(together.map(({ data }) => data.toString('base64'))).size).toBe(count);
    for (const [index, seed] of seeds.entries()) {
      expect((await pixels({ seed })).equals(together[index]?.data ?? Buffer.alloc(0))).toBe(true);
    }
  });

  it('let no neighbour in the queue change a picture', async () => {
    const drawn = await Promise.all([{ seed: 1 }, { seed: 2, prompt: 'a blue square' }, { seed: 1 }, { seed: 3 }].map(pixels));
    expect([drawn[0]?.equals(asBefore), drawn[2]?.equals(asBefore)]).toEqual([true, true]);
  });

  it.each([
    ['"seed":9007199254740993', 'seed'],
    ['"seed":9007199254740992', 'seed'],
    ['"seed":-9007199254740993', 'seed'],
    ['"seed":9007199254740990.6', 'seed'],
    ['"seed":9.0071992547409906e15', 'seed'],
    ['"seed":18446744073709551616', 'seed'],
    ['"seed":1e400', 'seed'],
    ['"seed":-1e400', 'seed'],
    ['"width":9007199254740993', 'width'],
    ['"num_inference_steps":9007199254740993', 'num_inference_steps'],
    ['"num_inference_steps":4.00000000000000000001', 'num_inference_steps'],
    ['"num_images":1e400', 'num_images'],
    ['"max_sequence_length":9007199254740993', 'max_sequence_length'],
    ['"true_cfg_scale":1e400', 'true_cfg_scale'],
  ])('refuse %s, and claim no number that was not sent', async (written, name) => {
    const withoutTwin = raw(written).replace(new RegExp(`"${name}":\\d+,(?=.*"${name}")`), '');
    const error = await errorOf(await client.postJson(withoutTwin));
    expect(error).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
    const fault = error.details?.find(({ field }) => field === name);
    expect(fault?.message).toMatch(/^must be an? (integer|number) from \d+ to \d+$/);
  });

  it.each([
    ['"seed":1,"seed":2', 'seed', 'was sent more than once'],
    ['"prompt":"a blue square"', 'prompt', 'was sent more than once'],
    ['"seed":"1"', 'seed', 'must be an integer from 0 to 9007199254740991, got "1"'],
    ['"seed":true', 'seed', 'must be an integer from 0 to 9007199254740991, got true'],
    ['"seed":[1]', 'seed', 'must be an integer from 0 to 9007199254740991, got a list'],
    ['"seed":{"valueOf":1}', 'seed', 'must be an integer from 0 to 9007199254740991, got an object'],
    ['"seed":null', 'seed', 'must be an integer from 0 to 9007199254740991, got null'],
    ['"seed":-1', 'seed', 'must be an integer from 0 to 9007199254740991, got -1'],
    ['"seed":1.5', 'seed', 'must be an integer from 0 to 9007199254740991, got 1.5'],
    ['"num_images":0', 'num_images', 'must be an integer from 1 to 4, got 0'],
    ['"num_images":5', 'num_images', 'must be an integer from 1 to 4, got 5'],
  ])('refuse %s', async (written, name, message) => {
    expect(await errorOf(await client.postJson(raw(written)))).toMatchObject({
      status: 400,
      param: name,
      details: [{ field: name, message }],
    });
  });

  it.each(['"seed":NaN', '"seed":Infinity', '"seed":01', '"seed":+1', '"seed":0x10', '"seed":1n', '"seed":1,', '"seed":.5'])(
    'refuse %s, which is no JSON',
    async (written) => {
      expect(await errorOf(await client.postJson(raw(written)))).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
    },
  );

  it.each([
    ['9007199254740991', '9007199254740991'],
    ['9007199254740990', '9007199254740990'],
    ['1.0', '1'],
    ['1e3', '1000'],
    ['-0', '0'],
  ])('take the seed %s and echo it digit by digit', async (written, echoed) => {
    const response = await client.postJson(raw(`"seed":${written}`));
    expect([response.status, response.headers.get('x-seed')]).toEqual([200, echoed]);
    const text = await response.text();
    expect(text.match(new RegExp(`"seed":${echoed}[,}]`, 'g'))).toHaveLength(2);
  });

  it('tell the largest seed from the one before it', async () => {
    const [a, b] = [await pixels({ seed: Number.MAX_SAFE_INTEGER }), await pixels({ seed: Number.MAX_SAFE_INTEGER - 1 })];
    expect(a.equals(b)).toBe(false);
  });

  it('leave room for the seeds of further pictures', async () => {
    const most = Number.MAX_SAFE_INTEGER - 3;
    const { images } = await answerOf(await client.postJson({ ...small, seed: most, num_images: 4 }));
    expect(images.map(({ seed }) => seed)).toEqual([most, most + 1, most + 2, most + 3]);
    expect(await errorOf(await client.postJson({ ...small, seed: most + 1, num_images: 4 }))).toMatchObject({
      status: 400,
      param: 'seed',
    });
  });

  it('choose a seed at random, another one each time, that draws the same picture again', async () => {
    const seeds = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const answer = await answerOf(await client.postJson(raw('')));
      const seed = answer.images[0]?.seed ?? -1;
      seeds.add(seed);
      expect((await pixels({ seed })).equals(firstOf(await picturesOf(answer)).data)).toBe(true);
    }
    expect(seeds.size).toBe(3);
  });

  it('draw after all that what they drew before', async () => {
    expect((await pixels({ seed: 1 })).equals(asBefore)).toBe(true);
  });
});
