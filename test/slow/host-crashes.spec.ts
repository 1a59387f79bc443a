import { answerOf, Client, firstOf, picturesOf, small } from '../e2e/client.js';
import { HostGate } from '../e2e/host-gate.js';
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
  const gate = new HostGate();
  let server: Server;
  beforeAll(async () => {
    server = new Server([], gate.variables);
    await server.logged(/^model loaded/);
  });
  afterAll(async () => {
    gate.end();
    await server.stop();
  });

  it(
    `comes back ${rounds} times, and draws as before`,
    async () => {
      const client = new Client(server);
      const long = { ...small, width: 256, height: 256, num_inference_steps: 100 };
      const before = firstOf(await client.draw(long));
      for (let round = 0; round < rounds; round++) {
        const records = server.log.length;
        const host = server.hostPid();
        const job = client.postJson(long);
        await untilRunning(client);
        gate.close();
        process.kill(host, signals[round % signals.length] ?? 'SIGKILL');

        await server.logged(/^the engine is restarting/, records);
        expect((await client.get('/health/live')).status).toBe(200);
        expect((await client.get('/health/ready')).status).toBe(503);
        gate.open();

        const again = firstOf(await picturesOf(await answerOf(await job)));
        expect(again.data.equals(before.data)).toBe(true);
        expect(server.hostPid()).not.toBe(host);
        expect(isRunning(host)).toBe(false);
      }
    },
    rounds * 120_000,
  );
});
