import { readFileSync, readdirSync } from 'node:fs';
import { request, withServer } from './served.mjs';

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
export function timePictureOverHttp({ root, model, dtype, prompt, threads, repeat }) {
  const settings = ['--model', model.folder, '--dtype', dtype, '--set', `model.threads=${threads}`];
  return withServer(root, settings, async ({ port, pid }) => {
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
      const answer = await request(port, 'POST', '/text-to-image', { body, accept: 'image/png' });
      if (answer.status !== 200) throw new Error(`the server answered ${answer.status}: ${answer.body.subarray(0, 500)}`);
      if (i > 0) seconds.push((performance.now() - started) / 1000);
    }
    seconds.sort((a, b) => a - b);
    return {
      seconds: seconds[Math.floor(seconds.length / 2)],
      hostPeak: peakBytes(childOf(pid)),
      serverPeak: peakBytes(pid),
    };
  });
}
