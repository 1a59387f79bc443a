// Preloaded into a server and its engine hosts: a host waits before it begins, for as long as HOST_GATE is there.
const { existsSync } = require('node:fs');

const { HOST_GATE: gate = '' } = process.env;
if (process.argv[1]?.includes('engine-host')) {
  while (existsSync(gate)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
}
