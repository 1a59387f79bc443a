import { Client, errorOf, firstOf, small } from '../e2e/client.js';
import { Server, isRunning } from '../e2e/server.js';

const rounds = process.env.QWEN_SLOW === 'short' ? 4 : 60;
const signals = ['SIGSEGV', 'SIGKILL', 'SIGABRT', 'SIGBUS'] as const;

async function untilRunning(client: Client): Promise<void> {
  for (;;) {
    const { queue } = (await (await client.get('/health')).json()) as { queue: { running: number } };
    if (queue.running === 1) return;
  }
}

describe('a host that dies again and again', () => {
  let server: Server;
  beforeAll(async () => (server = await Server.ready()));
  afterAll(() => server.stop());

  it(
    `comes back ${rounds} times, and draws as before`,
    async () => {
      const client = new Client(server);
      const before = firstOf(await client.draw(small));
      for (let round = 0; round < rounds; round++) {
        const records = server.log.length;
        const host = server.hostPid();
        const job = client.postJson({ ...small, width: 256, height: 256, num_inference_steps: 200 });
        await untilRunning(client);
        process.kill(host, signals[round % signals.length] ?? 'SIGKILL');

        const failure = await job;
        expect(failure.status).toBe(503);
        expect(Number(failure.headers.get('retry-after'))).toBeGreaterThan(0);
        expect((await errorOf(failure)).code).toBe('ENGINE_UNAVAILABLE');
        expect((await client.get('/health/live')).status).toBe(200);

        await server.logged(/^model loaded/, records);
        expect(server.hostPid()).not.toBe(host);
        expect(isRunning(host)).toBe(false);
        expect(firstOf(await client.draw(small)).data.equals(before.data)).toBe(true);
      }
    },
    rounds * 120_000,
  );
});
