import { answerOf, Client, errorOf, firstOf, fixture, pictureOf, picturesOf, type Picture } from '../e2e/client.js';
import { meanDistance } from '../e2e/equal-in-8-bits.js';
import { Server } from '../e2e/server.js';

const fields = { prompt: 'a red circle', seed: 1, num_inference_steps: 10 };

describe('the strength of a picture drawn from another', () => {
  let server: Server;
  let client: Client;
  let input: Picture;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
    input = await pictureOf(fixture('quadrants.png'));
  });
  afterAll(async () => {
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  const redraw = (changes: object) => client.redraw({ ...fields, ...changes }, fixture('quadrants.png'));

  it.each([0.000001, 0.05, 0.09, 0.0999])('%d of 10 steps leaves one step, the same as 0.1', async (strength) => {
    const [one, tenth] = [await redraw({ strength }), await redraw({ strength: 0.1 })];
    expect(one.data.equals(tenth.data)).toBe(true);
    expect(one.data.equals(input.data)).toBe(false);
  });

  it('is echoed as it was sent', async () => {
    for (const strength of [0.05, 0.3, 1]) {
      const { parameters } = await answerOf(await client.postForm({ ...fields, strength }, fixture('quadrants.png')));
      expect(parameters).toMatchObject({ strength, num_inference_steps: 10 });
    }
  });

  it('leaves less of the picture the higher it is', async () => {
    const distances = [];
    for (const strength of [0.1, 0.4, 0.8]) distances.push(meanDistance(await redraw({ strength }), input));
    expect([...distances].sort((a, b) => a - b)).toEqual(distances);
  });

  it('1 leaves a picture that still knows its size only', async () => {
    const [one, other] = await Promise.all(
      ['quadrants.png', 'whole.jpg'].map((name) =>
        client.redraw({ ...fields, strength: 1, width: 96, height: 96 }, fixture(name)),
      ),
    );
    expect([one?.width, one?.height, other?.width, other?.height]).toEqual([96, 96, 96, 96]);
  });

  it.each([2, 3, 4])('of few steps (%i) is drawn at either end of its range', async (num_inference_steps) => {
    for (const strength of [0.01, 1]) {
      const answer = await answerOf(
        await client.postForm({ ...fields, num_inference_steps, strength }, fixture('quadrants.png')),
      );
      expect(firstOf(await picturesOf(answer)).data.equals(input.data)).toBe(false);
    }
  });

  it.each(['0', '-0.1', '1.0001', '0.0', '-0', 'NaN', 'Infinity', '1e400', '', ' 0.5', '0,5', '.5', '5e0', 'half', '1/2'])(
    '"%s" is refused',
    async (strength) => {
      const error = await errorOf(await client.postForm({ ...fields, strength }, fixture('quadrants.png')));
      expect(error).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT', param: 'strength' });
      expect(error.message).toContain('must be a number above 0 and at most 1');
    },
  );
});
