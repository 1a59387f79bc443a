import { request } from '../bench/served.mjs';
import { ms, printTable, quantile } from './measure.mjs';

const body = JSON.stringify({ prompt: 'a red circle', seed: 1, width: 64, height: 64, num_inference_steps: 4 });
const warmUps = 5;

/** What the service adds to the engine's own work: the time of the HTTP request minus the three stages of the engine. */
export async function measurePictureOverhead({ port }, { pictures }) {
  const over = [];
  const whole = [];
  for (let count = -warmUps; count < pictures; count++) {
    const started = performance.now();
    const answer = await request(port, 'POST', '/text-to-image', { body });
    const took = performance.now() - started;
    if (answer.status !== 200) throw new Error(`the server answered ${answer.status}: ${answer.body.subarray(0, 500)}`);
    const { encode_ms: encode, denoise_ms: denoise, decode_ms: decode } = JSON.parse(answer.body).timings;
    if (count < 0) continue;
    whole.push(took);
    over.push(took - encode - denoise - decode);
  }
  const of = (values) => ({ p50: quantile(values, 0.5), p95: quantile(values, 0.95), max: Math.max(...values) });
  const result = { http: of(whole), overhead: of(over) };
  const rows = [
    ['HTTP request', ...Object.values(result.http).map(ms)],
    ["of it not the engine's", ...Object.values(result.overhead).map(ms)],
  ];
  printTable(
    `A plain synchronous picture (64x64, 4 steps), ${pictures} one after another`,
    ['', 'p50, ms', 'p95, ms', 'max, ms'],
    rows,
  );
  return result;
}
