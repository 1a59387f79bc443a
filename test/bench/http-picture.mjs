import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
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

function request(port, method, route, body) {
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      port,
      method,
      path: route,
      headers: { 'content-type': 'application/json', accept: 'image/png' },
    });
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

function peakBytes(pid) {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB/m);
  return Number(line[1]) * 1024;
}

function childOf(pid) {
  return readdirSync('/proc').find((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      // pid (comm) state ppid …: comm may hold spaces, the last ')' ends it
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(pid);
    } catch {
      return false;
    }
  });
}

/** Median seconds of a picture (PNG bytes) from a server of its own, and the peaks of its two processes in bytes. */
export async function timePictureOverHttp({ root, model, dtype, prompt, threads, repeat }) {
  const port = await freePort();
  const settings = [
    '--port',
    port,
    '--model',
    model.folder,
    '--device',
    'cpu',
    '--dtype',
    dtype,
    '--set',
    `model.threads=${threads}`,
    '--set',
    'rateLimit.enabled=false',
    '--log-level',
    'error',
  ];
  const server = spawn('node', [path.join(root, 'dist/apps/api/src/main.js'), ...settings.map(String)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await untilReady(port, server);
    const body = JSON.stringify({
      prompt,
      seed: 1,
      width: model.width,
      height: model.height,
      num_inference_steps: model.steps,
      true_cfg_scale: model.cfg,
      negative_prompt: ' ',
    });
    const seconds = [];
    for (let i = 0; i <= repeat; i++) {
      const started = performance.now();
      const answer = await request(port, 'POST', '/text-to-image', body);
      if (answer.status !== 200) throw new Error(`the server answered ${answer.status}: ${answer.body.subarray(0, 500)}`);
      if (i > 0) seconds.push((performance.now() - started) / 1000);
    }
    seconds.sort((a, b) => a - b);
    return {
      seconds: seconds[Math.floor(seconds.length / 2)],
      hostPeak: peakBytes(childOf(server.pid)),
      serverPeak: peakBytes(server.pid),
    };
  } finally {
    const ended = new Promise((resolve) => server.once('exit', resolve));
    if (server.exitCode === null) {
      server.kill('SIGTERM');
      await ended;
    }
  }
}
