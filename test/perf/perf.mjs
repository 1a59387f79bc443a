// npm run test:perf: how the service answers beside its engine. Prints Markdown tables and ends with one line of JSON; what it
// holds to is that every answer is the one that was asked for, never how long it took.
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { withServer } from '../bench/served.mjs';
import { measureLooks } from './looks.mjs';
import { measurePictureOverhead } from './picture-overhead.mjs';
import { measureQueuedJobs } from './queued-jobs.mjs';
import { measureRefusals } from './refusals.mjs';

const root = path.resolve(import.meta.dirname, '../..');

const usage = `npm run test:perf -- [options]
  --only NAME         one of looks, refusals, pictures, queue (default: all)
  --seconds N         how long each request is sent over and over (default 10)
  --connections N     how many connections send it (default 10)
  --rate N            requests a second over all connections (default 0: each as soon as its connection is free)
  --waiting N         clients in the queue of a busy server (default 50)
  --pictures N        pictures whose overhead is taken (default 50)
  --depths N,N        queued jobs beside those whose overhead is taken (default 10,10000)
  --threads N         of the engine (default: all cores)`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean' },
    only: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '10' },
    rate: { type: 'string', default: '0' },
    waiting: { type: 'string', default: '50' },
    pictures: { type: 'string', default: '50' },
    depths: { type: 'string', default: '10,10000' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const beside = { looks: measureLooks, refusals: measureRefusals, pictures: measurePictureOverhead };
const measurements = { ...beside, queue: measureQueuedJobs };
const names = values.only === undefined ? Object.keys(measurements) : [values.only];
const unknown = names.find((name) => !Object.hasOwn(measurements, name));
if (unknown !== undefined) throw new Error(`--only ${unknown}: unknown; ${Object.keys(measurements).join(', ')}`);

function integer(name, least) {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= least) return value;
  throw new Error(`--${name} must be an integer from ${least}, got ${values[name]}`);
}

const [seconds, connections, waiting, pictures] = ['seconds', 'connections', 'waiting', 'pictures'].map((name) =>
  integer(name, 1),
);
const rate = integer('rate', 0);
const depths = values.depths.split(',').map(Number);
if (!depths.every((depth) => Number.isInteger(depth) && depth >= 10)) {
  throw new Error(`--depths must be integers from 10, got ${values.depths}`);
}

const git = (...args) => execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();
const conditions = {
  commit: `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' and changes'}`,
  processor: os.cpus()[0]?.model,
  cores: os.availableParallelism(),
  threads: Number(values.threads),
  load: os.loadavg()[0].toFixed(1),
  node: process.versions.node,
  seconds,
  connections,
  rate,
};
console.log(
  `Conditions: ${Object.entries(conditions)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')}`,
);

const startServer = (settings, use) => withServer(root, ['--set', `model.threads=${values.threads}`, ...settings], use);
const results = {};
for (const name of names) {
  process.stderr.write(`${name} …\n`);
  if (name === 'queue') {
    results[name] = await measureQueuedJobs(startServer, { depths, rounds: Math.ceil(pictures / 10) });
  } else {
    // The queue is full when as many wait as are wanted to.
    results[name] = await startServer(['--set', `queue.maxPending=${waiting}`], ({ port }) =>
      beside[name]({ port, seconds, connections, rate }, { waiting, pictures }),
    );
  }
}
console.log(`\n${JSON.stringify({ conditions, results })}`);
