import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from '../bench/served.mjs';

/** Long enough that the line does not move at every other moment of a measurement. */
const longPicture = { prompt: 'a red circle on a blue background', width: 512, height: 512, num_inference_steps: 200 };

/** What `use` makes of a server whose engine works and whose line holds `waiting` clients, each asking again when it was served. */
export async function whileBusy(port, waiting, use) {
  const stop = new AbortController();
  setMaxListeners(waiting + 1, stop.signal);
  const clients = Array.from({ length: waiting + 1 }, (_, seed) => askAgainAndAgain(port, seed, stop.signal));
  const failed = Promise.all(clients);
  try {
    await Promise.race([untilWaiting(port, waiting), failed]);
    return await Promise.race([use(), failed.then(() => Promise.reject(new Error('the clients that wait have ended')))]);
  } finally {
    stop.abort();
    await Promise.allSettled(clients);
    await untilWaiting(port, 0);
  }
}

async function askAgainAndAgain(port, seed, signal) {
  const body = JSON.stringify({ ...longPicture, seed });
  while (!signal.aborted) {
    try {
      const { status } = await request(port, 'POST', '/text-to-image', { body, signal });
      // 429: someone else was quicker to take the place that has become free.
      if (status !== 200 && status !== 429) throw new Error(`a client that waited was answered ${status}`);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

async function untilWaiting(port, waiting) {
  for (;;) {
    const { queue } = JSON.parse((await request(port, 'GET', '/health')).body);
    if (queue.pending === waiting && queue.running === Math.min(1, waiting)) return;
    await sleep(50);
  }
}
