import { heartbeatMs, loadAddon, toEngineError, type Addon, type FromHost, type ToHost } from '@app/engine';
import { Host } from './host.js';

/* Child process of the server: `main.js [path of qwen_image.node]`, spoken to over the fork channel. */

/**
 * Pictures lie outside V8's heap, where their handles look like small objects: left to itself it would let many of them lie before
 * it collects. A collection of this small heap takes some milliseconds, between two jobs.
 */
function collectGarbage(): void {
  globalThis.gc?.();
}

function send(message: FromHost): void {
  if (message.type === 'result' || message.type === 'failed') setImmediate(collectGarbage);
  // The channel may close between two events; `disconnect` ends the process then.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

/**
 * Threads of libtorch's OpenMP runtime wait for each other by spinning, by default longer than a time slice: beside any other busy
 * process each wait costs one. A short spin costs nothing alone and halves the time in company (docs/performance.md).
 */
function limitSpinning(): void {
  process.env.GOMP_SPINCOUNT ??= '1000';
}

function openAddon(): Addon | null {
  try {
    return loadAddon(process.argv[2]);
  } catch (error) {
    const { code, message } = toEngineError(error);
    send({ type: 'load-failed', error: { code, message } });
    return null;
  }
}

function serve(addon: Addon): void {
  const host = new Host(addon, send, (code) => process.exit(code));
  process.on('message', (message) => void host.receive(message as ToHost));
  // The addon's exit hook waits for the engine thread, also in mid-step.
  process.on('disconnect', () => process.exit());
  // Unanswered work of the engine thread does not hold these up: they tell of the event loop, and how far a model is loaded.
  setInterval(() => send({ type: 'alive', loadedBytes: addon.loadedBytes() }), heartbeatMs).unref();
  send({ type: 'ready' });
}

if (process.connected) {
  // A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole process group: the server says when to stop.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
  limitSpinning();
  const addon = openAddon();
  if (addon) serve(addon);
  else process.disconnect();
} else {
  console.error('The engine host is started by the server (npm start).');
  process.exitCode = 1;
}
