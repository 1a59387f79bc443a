import { createHash } from 'node:crypto';
import { Server } from '../e2e/server.js';
import { forgetReports, reportingEnvironment, type Residence } from './residence.js';
import { FuzzRun } from './run.js';

const { QWEN_SLOW, QWEN_FUZZ_COUNT, QWEN_FUZZ_SEED, QWEN_FUZZ_PATH } = process.env;
const isShort = QWEN_SLOW === 'short';
const count = Number(QWEN_FUZZ_COUNT ?? (isShort ? 1500 : 20_000));
/** The short form stands before every merge: it says the same of the same code. The long one looks where nobody has looked. */
const seed = Number(QWEN_FUZZ_SEED ?? (isShort ? 1 : Date.now() % 2 ** 31));
const msPerRequest = 1000; // a bound on hanging, some fifty times what one takes

/** Uploads and queues that overflow without megabytes and hundreds of requests. */
const small = ['--set', 'limits.maxUploadBytes=1000000', '--set', 'queue.maxPending=4'];
const secret = 'a key for generated requests';
const keys = [
  { name: 'fuzz', sha256: createHash('sha256').update(secret).digest('hex'), scopes: ['generate', 'metrics', 'admin'] },
];
const keyed = ['--set', `auth.keys=${JSON.stringify(keys)}`];

/**
 * How much more a process may hold after `requests` requests than before them, both times with its garbage collected.
 * live: what V8 still compiles and caches in a service that has been warm for a while (measured: 0.4 MB in 10,000 requests, most
 *   of it the tokenizer's bounded cache of words), and a fraction of what the least trace of every request would come to:
 *   its two objects alone have 2 KB.
 * resident: pages that V8 and malloc keep for later come and go by 12 MB from one look to the next; beyond that less a request
 *   than the smallest picture's 3 KB.
 */
function allowedGrowth(requests: number): Omit<Residence, 'descriptors'> {
  return { live: 2 * 2 ** 20 + 256 * requests, resident: 32 * 2 ** 20 + 1024 * requests };
}

function expectNoGrowth(before: Residence, after: Residence, requests: number): void {
  const allowed = allowedGrowth(requests);
  expect(after.live - before.live).toBeLessThan(allowed.live);
  expect(after.resident - before.resident).toBeLessThan(allowed.resident);
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
}

describe(`generated requests, QWEN_FUZZ_SEED=${seed}`, () => {
  let server: Server;
  let run: FuzzRun;

  const start = async (sent: string | null, ...settings: string[]) => {
    process.stderr.write(`QWEN_FUZZ_SEED=${seed} QWEN_FUZZ_COUNT=${count}\n`);
    Object.assign(process.env, reportingEnvironment());
    server = await Server.ready(...small, ...settings);
    run = await FuzzRun.of(server, seed, sent);
  };

  afterEach(async () => {
    run.close();
    process.stderr.write(`${JSON.stringify(Object.fromEntries(run.answers))}\n`);
    expect((await server.stop()).stderr).toBe('');
  });
  afterAll(forgetReports);

  if (QWEN_FUZZ_PATH !== undefined) {
    it('the one that QWEN_FUZZ_PATH tells, again, to an open service', async () => {
      await start(null);
      await run.replay(QWEN_FUZZ_PATH);
    });
    it('the one that QWEN_FUZZ_PATH tells, again, to a service with API keys', async () => {
      await start(secret, ...keyed);
      await run.replay(QWEN_FUZZ_PATH);
    });
    return;
  }

  it(
    `${count} to an open service: answers as documented, nothing kept`,
    async () => {
      await start(null);
      const half = Math.ceil(count / 2);
      await run.send(half);
      const middle = await run.residence();
      await run.send(count - half);
      const end = await run.residence();
      process.stderr.write(`at the middle ${JSON.stringify(middle)}\nat the end    ${JSON.stringify(end)}\n`);
      expectNoGrowth(middle.api, end.api, half);
      expectNoGrowth(middle.host, end.host, half);
    },
    count * msPerRequest,
  );

  it(
    `${Math.ceil(count / 10)} to a service with API keys: answers as documented`,
    async () => {
      await start(secret, ...keyed);
      await run.send(Math.ceil(count / 10));
    },
    count * msPerRequest,
  );
});
