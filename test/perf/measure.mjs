import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';

const blastPath = path.join(import.meta.dirname, 'blast.mjs');

/** @param q 0 to 1 */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

/** Requests a second and latency of one request sent over and over; every answer counts, and must have the status `wanted`. */
export async function blast({ port, seconds, connections, rate }, { method = 'GET', route, body, wanted = 200 }) {
  const options = {
    url: `http://127.0.0.1:${port}${route}`,
    method,
    body,
    connections,
    duration: seconds,
    ...(rate ? { overallRate: rate } : {}),
  };
  const headers = { 'content-type': 'application/json' };
  const child = spawn(process.execPath, [blastPath, JSON.stringify({ ...options, headers })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`autocannon ended with ${code}`);
  const { times, errors, timeouts, duration } = JSON.parse(output);
  const all = times[wanted] ?? [];
  const others = Object.keys(times).filter((status) => status !== String(wanted));
  if (all.length === 0 || errors + timeouts > 0 || others.length > 0) {
    throw new Error(
      `${method} ${route}: ${all.length} times ${wanted}, also ${others.join(', ') || 'none'}, ${errors} errors, ${timeouts} without an answer`,
    );
  }
  return { perSecond: all.length / duration, p50: quantile(all, 0.5), p99: quantile(all, 0.99), max: Math.max(...all) };
}

export function printTable(title, head, rows) {
  console.log(`\n#### ${title}\n`);
  for (const cells of [head, head.map(() => '---'), ...rows]) console.log(`| ${cells.join(' | ')} |`);
}

export function ms(value) {
  return value.toFixed(value < 10 ? 2 : 0);
}
