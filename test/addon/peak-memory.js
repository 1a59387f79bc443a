// Draws one request and prints the most memory that the process ever held: `peak-memory.js ADDON FOLDER REQUEST`.
'use strict';

const { readFileSync } = require('node:fs');

const [addonPath, folder, text] = process.argv.slice(2);
const { promptTokens, image, ...request } = JSON.parse(text);
const options = {
  device: 'cpu',
  dtype: 'float32',
  threads: 2,
  residency: 'resident',
  vaeTiling: 'auto',
  memoryBudget: null,
};
const native = {
  ...request,
  promptIds: new Int32Array(promptTokens).fill(5),
  negativePromptIds: request.trueCfgScale > 1 ? new Int32Array(40).fill(5) : null,
  dropIndex: 34,
  seed: 1,
};
if (image) native.image = { ...image, channels: 3, data: new Uint8Array(image.width * image.height * 3) };

async function main() {
  const engine = new (require(addonPath).Engine)();
  const { memory } = await engine.load(folder, options);
  await engine.generate('a', native, () => undefined);
  const peak = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]) * 1024;
  console.log(JSON.stringify({ memory, peak }));
  await engine.dispose();
}

void main();
