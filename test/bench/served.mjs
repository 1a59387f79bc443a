import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const startTimeoutMs = 600_000;

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** One request, its answer whole. `signal` gives it up; `localAddress` is where it comes from. */
export function request(port, method, route, { body, headers, accept = 'application/json', signal, localAddress } = {}) {
  return new Promise((resolve, reject) => {
    const sent = { 'content-type': 'application/json', accept, ...headers };
    const outgoing = http.request({ host: '127.0.0.1', port, method, path: route, headers: sent, signal, localAddress });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks) }));
    });
    outgoing.end(body);
  });
}

async function untilReady(port, server) {
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode} before it was ready`);
    const answer = await request(port, 'GET', '/health/ready').catch(() => null);
    if (answer?.status === 200) return;
    await sleep(200);
  }
  throw new Error('the server did not become ready');
}

/** What `use` makes of a server of its own, with jobs on the disk that the project is on; ready before and ended after. */
export async function withServer(root, settings, use) {
  const port = await freePort();
  mkdirSync(path.join(root, 'build'), { recursive: true });
  const jobs = mkdtempSync(path.join(root, 'build/bench-jobs-'));
  const fixed = [
    '--set',
    `jobs.directory=${jobs}`,
    '--port',
    port,
    '--device',
    'cpu',
    '--set',
    'rateLimit.enabled=false',
    '--log-level',
    'error',
  ];
  const server = spawn('node', [path.join(root, 'dist/apps/api/src/main.js'), ...[...fixed, ...settings].map(String)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(server, 'exit');
  try {
    await untilReady(port, server);
    return await use({ port, pid: server.pid });
  } finally {
    if (server.exitCode === null) {
      server.kill('SIGTERM');
      await ended;
    }
    rmSync(jobs, { recursive: true, force: true });
  }
}
