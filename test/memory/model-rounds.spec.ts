import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerOf, Client, errorOf, small } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { endedOf, readLedger } from '../e2e/ledger.js';
import { anonymousBytes } from '../e2e/memory.js';
import { eventually, isRunning, projectRoot, Server } from '../e2e/server.js';
import { forgetReports, frugalEnvironment, residenceOf } from '../fuzz/residence.js';

const rounds = process.env.QWEN_SLOW === 'short' ? 3 : 10;
/** Of the first level. */
const allowedGrowth = 0.05;
const quick = { ...small, num_inference_steps: 2 };

interface Tally {
  drawn: number;
  refused: number;
}

/** Asks without a pause, as somebody who knows nothing of what the operator does. */
class Asker {
  readonly plain: Tally = { drawn: 0, refused: 0 };
  readonly queued: Tally = { drawn: 0, refused: 0 };
  readonly faults: string[] = [];
  private readonly ids: string[] = [];
  private stopped = false;
  private readonly done: Promise<unknown>;

  constructor(private readonly client: Client) {
    this.done = Promise.all([this.askAgain(false), this.askAgain(true)]);
  }

  /** Resolves when all that was accepted has ended. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.done;
    const jobs = new Jobs(this.client.server);
    for (const id of this.ids) {
      const { status } = await jobs.ended(id);
      if (status === 'completed') this.queued.drawn += 1;
      else this.faults.push(`job ${id} is ${status}`);
    }
  }

  private async askAgain(queued: boolean): Promise<void> {
    while (!this.stopped) {
      const response = await this.client.postJson(quick, queued ? { prefer: 'respond-async' } : {}, AbortSignal.timeout(120_000));
      if (response.status === 202) {
        this.ids.push(((await response.json()) as { id: string }).id);
      } else if (response.status === 200) {
        this.plain.drawn += (await answerOf(response)).images.length;
      } else {
        await this.refusal(response, queued ? this.queued : this.plain);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  private async refusal(response: Response, tally: Tally): Promise<void> {
    const retryAfter = response.headers.get('retry-after');
    const { status, code, message } = await errorOf(response);
    if (status === 503 && code === 'ENGINE_UNAVAILABLE' && Number(retryAfter) > 0) tally.refused += 1;
    else this.faults.push(`${status} ${code} ${message}, Retry-After ${retryAfter}`);
  }
}

describe('models that are loaded and unloaded in turn', () => {
  let root: string;
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'models-'));
    symlinkSync(join(projectRoot, 'models/demo'), join(root, 'second'));
    server = new Server(['--set', `model.root=${root}`], frugalEnvironment());
    await server.logged(/^model loaded/);
    client = new Client(server);
  });
  afterAll(async () => {
    forgetReports();
    expect(await server.stop()).toMatchObject({ code: 0 });
    rmSync(root, { recursive: true });
  });

  async function change(to: 'load' | 'unload', state: string, body: object = {}): Promise<void> {
    await client.changeModel(to, body);
    await eventually(`the model is ${state}`, async () => {
      const { model } = (await (await client.get('/health')).json()) as { model: { state: string } };
      return model.state === state;
    });
  }

  /** What the host holds after one picture that nothing came before. */
  async function level(): Promise<number> {
    await answerOf(await client.postJson(small));
    await client.queueIs({ running: 0, pending: 0 });
    const host = server.hostPid();
    await residenceOf(host); // collects its garbage
    return anonymousBytes(host);
  }

  it(
    `leave no memory behind in ${rounds} rounds, and no request without an answer`,
    async () => {
      const levels = [await level()];
      const table: object[] = [];
      for (let round = 1; round <= rounds; round++) {
        const asker = new Asker(client);
        const host = server.hostPid();
        await change('unload', 'unloaded');
        expect(isRunning(host)).toBe(false);
        await change('load', 'ready', { model: round % 2 === 1 ? 'second' : 'demo' });
        await asker.stop();
        expect(asker.faults).toEqual([]);
        // A host of its own for the measurement: how much the askers drew on it is up to time.
        await change('load', 'ready', { model: round % 2 === 1 ? 'second' : 'demo' });
        levels.push(await level());
        const { plain, queued } = asker;
        const megabytes = (levels.at(-1)! / 1e6).toFixed(1);
        table.push({
          round,
          'host, MB': megabytes,
          drawn: plain.drawn,
          refused: plain.refused + queued.refused,
          jobs: queued.drawn,
        });
      }
      console.table(table);
      const [first, ...later] = levels;
      expect(Math.max(...later)).toBeLessThan(first! * (1 + allowedGrowth));

      const ledger = await readLedger(server.url);
      expect([ledger.pending, ledger.running, ledger.ended.failed, ledger.ended.cancelled]).toEqual([0, 0, 0, 0]);
      expect(endedOf(ledger)).toBe(ledger.accepted);
    },
    rounds * 300_000,
  );
});
