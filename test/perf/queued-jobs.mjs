import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from '../bench/served.mjs';
import { ms, printTable, quantile } from './measure.mjs';

const smallPicture = { prompt: 'a red circle', seed: 1, width: 64, height: 64, num_inference_steps: 4 };
/** Holds the engine while the line is filled: it is cancelled, and never ends by itself. */
const longPicture = { prompt: 'a red circle', seed: 1, width: 1024, height: 1024, num_inference_steps: 200 };

/** Another client than the rest: the next turn is its own, however many wait. */
const holdersAddress = '127.0.0.2';
/** No deadline is near, however long the line. */
const weekMs = 7 * 86_400_000;
const jobsARound = 10;
const askersAtOnce = 8;

/** What a job costs beside the engine's work with so many others in the line: to be accepted, and from the end of one to the end of the next. */
export async function measureQueuedJobs(startServer, { depths, rounds }) {
  const results = {};
  for (const depth of depths) {
    const room = depth + 2 * jobsARound;
    const allowed = [`queue.maxPending=${room}`, `queue.maxPendingPerClient=${room}`, `queue.timeoutMs=${weekMs}`];
    const settings = allowed.flatMap((setting) => ['--set', setting]);
    results[depth] = await startServer(settings, ({ port }) => measureAt(port, depth, rounds));
  }
  const rows = depths.flatMap((depth) => [
    row(`${depth} queued: accepted (202)`, results[depth].accept, results[depths[0]].accept),
    row(`${depth} queued: run, beside the engine`, results[depth].run, results[depths[0]].run),
  ]);
  const head = ['', 'p50, ms', 'p95, ms', 'of it waiting for the disk, mean ms', `p50 to ${depths[0]} queued`];
  printTable(`Durable jobs (respond-async, 64x64, 4 steps), ${rounds * jobsARound} at each depth`, head, rows);
  return results;
}

async function measureAt(port, depth, rounds) {
  const accepted = [];
  const runs = [];
  let [acceptSyncs, runSyncs] = [0, 0];
  for (let round = 0; round < rounds; round++) {
    const holder = await submit(port, longPicture, holdersAddress);
    await untilState(port, holder, 'running');
    await fill(port, depth - jobsARound);
    acceptSyncs += await secondsOfSync(port, async () => {
      for (let count = 0; count < jobsARound; count++) {
        const started = performance.now();
        await submit(port, smallPicture);
        accepted.push(performance.now() - started);
      }
    });
    const next = await oldest(port);
    runSyncs += await secondsOfSync(port, async () => {
      const ends = Promise.all(next.map((id) => endOf(port, id)));
      await request(port, 'DELETE', `/jobs/${holder}`);
      runs.push(...besideTheEngine(await ends));
    });
  }
  const jobs = rounds * jobsARound;
  return { accept: summary(accepted, acceptSyncs / jobs), run: summary(runs, runSyncs / jobs) };
}

/** Ids of small jobs, in the order in which they were accepted. */
const line = [];

/** Those that run next. */
async function oldest(port) {
  const waiting = [];
  while (waiting.length < jobsARound) {
    const id = line.shift();
    if ((await jobOf(port, id)).status === 'queued') waiting.push(id);
  }
  return waiting;
}

async function fill(port, depth) {
  const { pending } = await queueOf(port);
  let missing = depth - pending;
  const ask = async () => {
    while (missing > 0) {
      missing -= 1;
      await submit(port, smallPicture);
    }
  };
  await Promise.all(Array.from({ length: askersAtOnce }, ask));
}

async function submit(port, picture, localAddress) {
  const headers = { prefer: 'respond-async' };
  const answer = await request(port, 'POST', '/text-to-image', { body: JSON.stringify(picture), headers, localAddress });
  if (answer.status !== 202) throw new Error(`a job was answered ${answer.status}: ${answer.body.subarray(0, 500)}`);
  const { id } = JSON.parse(answer.body);
  if (localAddress === undefined) line.push(id);
  return id;
}

/** When the service told that the job has completed, and what the engine had to do with it. */
function endOf(port, id) {
  return new Promise((resolve, reject) => {
    const outgoing = http.request({ port, path: `/jobs/${id}/events`, headers: { accept: 'text/event-stream' } });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      let [told, text] = [0, ''];
      response.setEncoding('utf8').on('data', (chunk) => {
        told = performance.now();
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        const data = /^event: completed\ndata: (.*)$/m.exec(text)?.[1] ?? /^data: (.*)\nevent: completed$/m.exec(text)?.[1];
        if (data === undefined) return reject(new Error(`job ${id} did not complete: ${text.slice(-500)}`));
        const { encode_ms: encode, denoise_ms: denoise, decode_ms: decode } = JSON.parse(data).timings;
        resolve({ told, engineMs: encode + denoise + decode });
      });
    });
    outgoing.end();
  });
}

/** From the end of one job to the end of the next, without what the engine says it took. */
function besideTheEngine(ends) {
  return ends.slice(1).map(({ told, engineMs }, index) => told - ends[index].told - engineMs);
}

async function untilState(port, id, state) {
  while ((await jobOf(port, id)).status !== state) await sleep(50);
}

async function jobOf(port, id) {
  return JSON.parse((await request(port, 'GET', `/jobs/${id}`)).body);
}

async function queueOf(port) {
  return JSON.parse((await request(port, 'GET', '/health')).body).queue;
}

/** What durable changes of jobs waited for the disk meanwhile. */
async function secondsOfSync(port, use) {
  const read = async () => {
    const text = String((await request(port, 'GET', '/metrics')).body);
    return Number(/^qwen_image_job_sync_seconds_sum (\S+)$/m.exec(text)?.[1]);
  };
  const before = await read();
  await use();
  return (await read()) - before;
}

function summary(values, syncSeconds) {
  return { p50: quantile(values, 0.5), p95: quantile(values, 0.95), syncMs: syncSeconds * 1000 };
}

function row(name, { p50, p95, syncMs }, first) {
  return [name, ms(p50), ms(p95), ms(syncMs), (p50 / first.p50).toFixed(1)];
}
