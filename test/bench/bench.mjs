// Times the engine by stage and, with --compare-diffusers, the same work in diffusers: in turn, in one run, same dtype
// and threads. Prints Markdown tables on stdout (progress on stderr) and ends with one line of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { timePictureOverHttp } from './http-picture.mjs';
import { PromptEncoder, loadTokenizer, textToImageTemplate } from '../../dist/libs/engine/src/index.js';

const root = path.resolve(import.meta.dirname, '../..');
const prompt = 'a red circle on a blue background';
const stages = ['load_first_forward', 'text_encoder', 'transformer', 'vae_encode', 'vae_decode', 'picture', 'http_picture'];

const usage = `npm run bench -- [options]
  --compare-diffusers     also run the same work in diffusers (Python; installed into .venv-reference on first use)
  --real-geometry         also time a generated checkpoint of the released layer sizes (2.8 GB, needs the Python above)
  --model DIR             time this folder instead of models/demo
  --dtype LIST            float32,bfloat16 (default: both)
  --threads N             default: all cores
  --repeat N              timed runs of a stage, the median counts (default 3)
  --rounds N              how often both sides take turns; the median over rounds counts (default 1)`;

function options() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean' },
      'compare-diffusers': { type: 'boolean' },
      'real-geometry': { type: 'boolean' },
      model: { type: 'string', default: path.join(root, 'models/demo') },
      dtype: { type: 'string', default: 'float32,bfloat16' },
      threads: { type: 'string', default: String(os.availableParallelism()) },
      repeat: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '1' },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  return values;
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

// The last line of a command's output, as JSON. Its stderr is ours.
function runJson(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('exit', (code) => {
      if (code === 0) resolve(JSON.parse(output.trim().split('\n').at(-1)));
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code}`));
    });
  });
}

function referencePython() {
  const python = path.join(root, '.venv-reference/bin/python');
  if (!existsSync(python)) throw new Error('.venv-reference is missing: scripts/bench.sh makes it');
  return python;
}

async function describe(folder) {
  const read = (name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
  const defaults = existsSync(path.join(folder, 'generation_defaults.json')) ? read('generation_defaults.json') : {};
  const encoder = new PromptEncoder(await loadTokenizer(path.join(folder, 'tokenizer')), textToImageTemplate, 'allow');
  const ids = (text) => encoder.encode('prompt', text, 512).ids.join(',');
  return {
    folder,
    width: defaults.width ?? 512,
    height: defaults.height ?? 512,
    steps: defaults.num_inference_steps ?? 2,
    cfg: defaults.true_cfg_scale ?? 4,
    promptIds: ids(prompt),
    negativeIds: ids(' '),
  };
}

function median(values) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return sorted.length === 0 ? undefined : sorted[Math.floor(sorted.length / 2)];
}

// Medians over rounds of results with the same keys.
function combine(results) {
  const of = (pick) => {
    const keys = new Set(results.flatMap((result) => Object.keys(pick(result))));
    return Object.fromEntries([...keys].map((key) => [key, median(results.map((result) => pick(result)[key]))]));
  };
  return { seconds: of((r) => r.seconds), memory: of((r) => ({ ...r.memory, end: undefined })) };
}

async function measure(model, dtype, values) {
  const common = [
    ...['--model', model.folder, '--dtype', dtype, '--threads', values.threads, '--repeat', values.repeat],
    ...['--width', model.width, '--height', model.height, '--steps', model.steps, '--cfg', model.cfg],
  ].map(String);
  const ours = [];
  const theirs = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    say(`${path.basename(model.folder)} ${dtype}, round ${round + 1}: engine`);
    const engine = await runJson(path.join(root, 'build/native/bench'), [
      ...common,
      ...['--prompt-ids', model.promptIds, '--negative-ids', model.negativeIds],
    ]);
    say(`${path.basename(model.folder)} ${dtype}, round ${round + 1}: through HTTP`);
    const http = await timePictureOverHttp({
      root,
      model,
      dtype,
      prompt,
      threads: values.threads,
      repeat: Number(values.repeat),
    });
    ours.push({
      seconds: { ...engine.seconds, http_picture: http.seconds },
      memory: { ...engine.memory, host: http.hostPeak, server: http.serverPeak },
    });
    if (!values['compare-diffusers']) continue;
    say(`${path.basename(model.folder)} ${dtype}, round ${round + 1}: diffusers`);
    const diffusers = await runJson(referencePython(), [path.join(root, 'test/bench/diffusers_bench.py'), ...common]);
    theirs.push({ ...diffusers, seconds: { ...diffusers.seconds, http_picture: diffusers.seconds.picture } });
  }
  return { model: path.basename(model.folder), dtype, ours: combine(ours), theirs: theirs.length > 0 ? combine(theirs) : null };
}

function printTable({ model, dtype, ours, theirs }, setting) {
  const ms = (seconds) => (seconds * 1000).toFixed(seconds < 0.1 ? 2 : 0);
  const mb = (bytes) => (bytes === undefined ? '–' : (bytes / 1e6).toFixed(0));
  console.log(`\n#### ${model}, ${dtype}: ${setting}\n`);
  console.log('| | ours | diffusers | ratio |\n|---|---|---|---|');
  const row = (name, a, b, show) =>
    console.log(`| ${name} | ${show(a)} | ${b === undefined ? '–' : show(b)} | ${b === undefined ? '–' : (a / b).toFixed(2)} |`);
  for (const stage of stages) {
    const name = stage === 'http_picture' ? 'picture through HTTP (diffusers: in Python)' : stage.replaceAll('_', ' ');
    row(`${name}, ms`, ours.seconds[stage], theirs?.seconds[stage], ms);
  }
  for (const [name, key] of [
    ['peak memory', 'peak'],
    ['peak anonymous', 'peakAnonymous'],
    ['peak mapped', 'peakMapped'],
  ]) {
    row(`${name}, MB`, ours.memory[key], theirs?.memory[key], mb);
  }
  console.log(`| engine host of the service, peak, MB | ${mb(ours.memory.host)} | – | – |`);
  console.log(`| api of the service, peak, MB | ${mb(ours.memory.server)} | – | – |`);
}

const values = options();
const models = [await describe(path.resolve(values.model))];
if (values['real-geometry']) {
  const folder = path.join(root, 'build/real-geometry');
  if (!existsSync(path.join(folder, 'model_index.json'))) {
    say('making a checkpoint of the released layer sizes …');
    const made = spawnSync(referencePython(), [path.join(root, 'test/bench/make_real_geometry.py'), folder], {
      stdio: 'inherit',
    });
    if (made.status !== 0) throw new Error('make_real_geometry.py failed');
  }
  models.push(await describe(folder));
}
const results = [];
for (const model of models) {
  for (const dtype of values.dtype.split(',')) {
    const result = await measure(model, dtype, values);
    printTable(result, `${model.width}x${model.height}, ${model.steps} steps, guidance ${model.cfg}, ${values.threads} threads`);
    results.push(result);
  }
}
console.log(`\n${JSON.stringify({ processor: os.cpus()[0]?.model, threads: Number(values.threads), results })}`);
