import { whileBusy } from './busy.mjs';
import { blast, ms, printTable } from './measure.mjs';

const routes = ['/health', '/health/live', '/info'];

/** What a monitor sees: the same requests to an idle server and to one that works and is waited for. */
export async function measureLooks(target, { waiting }) {
  const looks = async () => {
    const results = [];
    for (const route of routes) results.push(await blast(target, { route }));
    return results;
  };
  const idle = await looks();
  const busy = await whileBusy(target.port, waiting, looks);
  const rows = routes.flatMap((route, index) => [
    row(`${route}, idle`, idle[index], idle[index]),
    row(`${route}, busy`, busy[index], idle[index]),
  ]);
  const head = ['', 'requests/s', 'p50, ms', 'p99, ms', 'max, ms', 'p99 to idle'];
  printTable(`Looks at the service: idle, and while the engine works and ${waiting} clients wait`, head, rows);
  return { idle: byRoute(idle), busy: byRoute(busy) };
}

function row(name, { perSecond, p50, p99, max }, idle) {
  return [name, perSecond.toFixed(0), ms(p50), ms(p99), ms(max), (p99 / idle.p99).toFixed(1)];
}

function byRoute(results) {
  return Object.fromEntries(routes.map((route, index) => [route, results[index]]));
}
