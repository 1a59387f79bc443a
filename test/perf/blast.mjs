// node blast.mjs OPTIONS: one run of autocannon in a process of its own, whose work then disturbs neither the clients that
// wait nor what times them. Prints the answers' times by status as JSON. autocannon's own histogram knows whole ms only.
import autocannon from 'autocannon';

const times = {};
const run = autocannon({ ...JSON.parse(process.argv[2]), timeout: 600 }, (error, { errors, timeouts, duration }) => {
  if (error) throw error;
  console.log(JSON.stringify({ times, errors, timeouts, duration }));
});
run.on('response', (_client, status, _bytes, ms) => (times[status] ??= []).push(Math.round(ms * 1000) / 1000));
