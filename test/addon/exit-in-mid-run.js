// exit-in-mid-run.js MODE FOLDER: a process, or a thread of one, that ends while its engine works. Says `as planned`.
'use strict';

const { join } = require('node:path');
const { setImmediate: turn } = require('node:timers/promises');
const { Worker, isMainThread, workerData, parentPort } = require('node:worker_threads');

const addon = require(join(__dirname, '../../build/native/qwen_image.node'));
const [mode, folder] = isMainThread ? process.argv.slice(2) : workerData;

const options = {
  device: 'cpu',
  dtype: 'float32',
  threads: 2,
  residency: 'resident',
  vaeTiling: 'auto',
  memoryBudget: null,
};

const request = (numInferenceSteps) => ({
  promptIds: Int32Array.from({ length: 45 }, (_, i) => i + 1),
  negativePromptIds: null,
  dropIndex: 34,
  maxSequenceLength: 512,
  width: 64,
  height: 64,
  numInferenceSteps,
  trueCfgScale: 1,
  seed: 1,
  numImages: 1,
});

async function loaded() {
  const engine = new addon.Engine();
  await engine.load(folder, options);
  return engine;
}

async function workerThat(does) {
  const worker = new Worker(__filename, { workerData: [does, folder] });
  await new Promise((resolve) => worker.once('message', resolve));
  return worker;
}

function exitAsPlanned(code) {
  process.stdout.write('as planned\n', () => process.exit(code));
}

const modes = {
  async exit() {
    const engine = await loaded();
    engine.generate('waiting', request(2), () => {}).catch(() => {});
    engine.generate('running', request(10_000), ({ step }) => step === 3 && exitAsPlanned(7)).catch(() => {});
  },
  'exit-in-load': () => {
    void new addon.Engine().load(folder, options);
    exitAsPlanned(7);
  },
  async collect() {
    let engine = await loaded();
    const job = engine.generate('a', request(20), () => {});
    const reference = new WeakRef(engine);
    engine = null;
    while (reference.deref()) {
      await turn(); // a WeakRef holds its object until the turn is over
      global.gc();
    }
    const { images } = await job;
    if (images.length === 1) console.log('as planned');
  },
  async terminate() {
    const worker = await workerThat('run');
    await worker.terminate();
    const engine = await loaded();
    const { images } = await engine.generate('a', request(2), () => {});
    if (images.length === 1) console.log('as planned');
  },
  async 'terminate-late'() {
    const engine = await loaded();
    const worker = await workerThat('block');
    // The engine takes jobs in turn: the worker's has ended when this one has, and nobody has taken its result.
    const { images } = await engine.generate('a', request(2), () => {});
    await worker.terminate();
    if (images.length === 1) console.log('as planned');
  },
  async block() {
    const engine = await loaded();
    void engine.generate('a', request(2), () => {});
    parentPort.postMessage('running');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
  async run() {
    const engine = await loaded();
    await engine.generate('a', request(10_000), ({ step }) => step === 3 && parentPort.postMessage('running'));
  },
};

void modes[mode]();
