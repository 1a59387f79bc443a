import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { answerOf, Client, firstOf, pictureOf, picturesOf, type Picture } from './client.js';
import { expectEqualIn8Bits, nearHalf } from './equal-in-8-bits.js';
import { floatsOf, readSafetensors, type Tensor } from './safetensors.js';
import { projectRoot, Server } from './server.js';

/* Whole pictures that went through HTTP, against what diffusers' pipelines drew from the same folders. */

const golden = join(projectRoot, 'test/golden');
const dataFolder = join(golden, 'data');

interface Run {
  prompt: string;
  negativePrompt: string;
  width: number;
  height: number;
  numInferenceSteps: number;
  trueCfgScale: number;
  seed: number;
  strength?: number;
}

function fieldsOf({ prompt, negativePrompt, width, height, numInferenceSteps, trueCfgScale, seed, strength }: Run) {
  return {
    prompt,
    negative_prompt: negativePrompt,
    width,
    height,
    num_inference_steps: numInferenceSteps,
    true_cfg_scale: trueCfgScale,
    seed,
    ...(strength === undefined ? {} : { strength }),
  };
}

function readJson(...path: string[]): unknown {
  return JSON.parse(readFileSync(join(dataFolder, ...path), 'utf8'));
}

/** [height, width, 3] */
function asPicture({ shape: [height = 0, width = 0], bytes }: Tensor): Picture {
  return { width, height, data: bytes };
}

function nearHalfOf(floats: Float32Array): (index: number) => boolean {
  return (index) => Math.abs((((floats[index] ?? 0) * 255) % 1) - 0.5) <= nearHalf;
}

describe('pictures of the demo model', () => {
  const { cases } = readJson('demo', 'cases.json') as { cases: (Run & { name: string; start?: string })[] };
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
  });
  afterAll(() => server.stop());

  it.each(cases.map((one) => [one.name, one] as const))('%s is what diffusers draws', async (name, { start, ...run }) => {
    const file = (suffix: string) => readFileSync(join(dataFolder, 'demo', `${name}${suffix}.png`));
    const fields = fieldsOf(run);
    const drawn = start
      ? await client.redraw(fields, readFileSync(join(dataFolder, 'demo', start)))
      : firstOf(await client.draw(fields));
    const mask = await pictureOf(file('.near-half'));
    expectEqualIn8Bits(drawn, await pictureOf(file('')), (i) => mask.data[i] === 255);
  });
});

describe.each(readdirSync(join(golden, 'checkpoints')))('pictures of the checkpoint %s', (checkpoint) => {
  const { runs } = readJson(`${checkpoint}.json`) as { runs: Record<string, Run> };
  const tensor = readSafetensors(join(dataFolder, `${checkpoint}.safetensors`));
  let server: Server;
  let client: Client;
  beforeAll(async () => {
    // Their sides are multiples of what the VAE asks for, and small.
    server = await Server.ready('--model', join(golden, 'checkpoints', checkpoint), '--set', 'limits.minSide=8');
    client = new Client(server);
  });
  afterAll(() => server.stop());

  async function send(run: Run): Promise<Response> {
    if (run.strength === undefined) return client.postJson(fieldsOf(run));
    const { width, height, data } = asPicture(tensor('i2i.input'));
    return client.postForm(
      fieldsOf(run),
      await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toBuffer(),
    );
  }

  it.each(Object.entries(runs))('%s is what diffusers draws', async (name, run) => {
    const drawn = firstOf(await picturesOf(await answerOf(await send(run))));
    expectEqualIn8Bits(drawn, asPicture(tensor(`${name}.uint8`)), nearHalfOf(floatsOf(tensor(`${name}.float`))));
  });
});
