import { whileBusy } from './busy.mjs';
import { blast, ms, printTable } from './measure.mjs';

const refusals = {
  '400, a wrong field': {
    method: 'POST',
    route: '/text-to-image',
    body: '{"prompt":"a red circle","width":1000,"height":64}',
    wanted: 400,
  },
  '404, no such route': { route: '/nowhere', wanted: 404 },
  '429, a full queue': { method: 'POST', route: '/text-to-image', body: '{"prompt":"a red circle","seed":1}', wanted: 429 },
};

/** What it costs to say no while the engine works and the queue is full. */
export async function measureRefusals(target, { waiting }) {
  const results = await whileBusy(target.port, waiting, async () => {
    const measured = {};
    for (const [name, request] of Object.entries(refusals)) measured[name] = await blast(target, request);
    return measured;
  });
  const rows = Object.entries(results).map(([name, { perSecond, p50, p99, max }]) => [
    name,
    perSecond.toFixed(0),
    ms(p50),
    ms(p99),
    ms(max),
  ]);
  printTable('Refusals while the engine works', ['', 'requests/s', 'p50, ms', 'p99, ms', 'max, ms'], rows);
  return results;
}
