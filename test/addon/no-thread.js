// no-thread.js CALL: what the first call of an engine answers in a process that can start no thread any more. Threads' stacks are
// 64 MiB here (prlimit --stack).
'use strict';

const { execFileSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const addon = require(join(__dirname, '../../build/native/qwen_image.node'));
const options = {
  device: 'cpu',
  dtype: 'float32',
  threads: 2,
  residency: 'resident',
  vaeTiling: 'auto',
  memoryBudget: null,
};

const engine = new addon.Engine();
const calls = { load: () => engine.load('/nowhere', options), dispose: () => engine.dispose() };

// Room for what V8 needs, and not for a thread's stack.
const mapped = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]) * 1024;
execFileSync('prlimit', ['--pid', String(process.pid), `--as=${mapped + 32 * 2 ** 20}:`]);

try {
  calls[process.argv[2]]().then(
    () => end('resolves'),
    ({ code }) => end(`rejects with ${code}`),
  );
} catch (error) {
  end(`throws ${error}`);
}

// Without the exit hook, which would wait for that thread.
function end(outcome) {
  process.stdout.write(`${outcome}\n`, () => process.reallyExit(0));
}
