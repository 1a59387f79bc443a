// Loaded before the service (NODE_OPTIONS=--expose-gc --require): on SIGUSR2 the process collects its garbage and writes down
// what is left. Without that, memory of a process at rest says more of when V8 last collected than of what is held.
const { renameSync, writeFileSync } = require('node:fs');

process.on('SIGUSR2', () => {
  for (let round = 0; round < 3; round++) globalThis.gc();
  const { rss, heapUsed, external } = process.memoryUsage();
  const file = `${process.env.FUZZ_MEMORY}/${process.pid}.json`;
  writeFileSync(`${file}.new`, JSON.stringify({ resident: rss, live: heapUsed + external }));
  renameSync(`${file}.new`, file);
});
