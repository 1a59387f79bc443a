import { Client } from '../e2e/client.js';
import { residentBytes, slope } from '../e2e/memory.js';
import { Server } from '../e2e/server.js';

const isShort = process.env.QWEN_SLOW === 'short';
const requests = isShort ? 200 : 2000;
// More steps take the same blocks again: a leak of theirs shows in these, too.
const steps = isShort ? { num_inference_steps: 4 } : {};
const warmUp = 50;
const limitBytesPerRequest = 20_000;

describe('soak', () => {
  let server: Server;
  beforeAll(async () => (server = await Server.ready()));
  afterAll(() => server.stop());

  it(
    `${requests} requests one after another leave the host's memory where it was`,
    async () => {
      const client = new Client(server);
      const host = server.hostPid();
      const resident: number[] = [];
      for (let seed = 0; seed < requests; seed++) {
        const answer = await client.postJson({ prompt: 'a red circle on a blue background', seed, ...steps });
        expect(answer.status).toBe(200);
        await answer.arrayBuffer();
        if (seed >= warmUp) resident.push(residentBytes(host));
      }
      expect(server.hostPid()).toBe(host);
      const growth = slope(resident);
      console.log(`host memory: ${growth.toFixed(0)} bytes a request over requests ${warmUp} to ${requests}`);
      expect(growth).toBeLessThan(limitBytesPerRequest);
    },
    requests * 10_000,
  );
});
