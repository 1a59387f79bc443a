// Draws 24 prompts through the service, with its default settings, and writes one picture of them all with their prompts.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { withServer } from '../test/bench/served.mjs';

const root = path.resolve(import.meta.dirname, '..');
const columns = 6;
const tile = 256;
const gap = 8;
const lineHeight = 15;
const lettersInLine = 42;
const linesOfPrompt = 2;
const captionHeight = linesOfPrompt * lineHeight + gap;

const usage = `npm run demo:sheet -- [options]
  --url URL     a running service; without it one is started for models/demo
  --model DIR   the model of the service that is started (default models/demo)
  --seed N      of every picture (default 42)
  --out FILE    .webp, .png or .jpeg (default docs/demo-sheet.webp)`;

function options() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean' },
      url: { type: 'string' },
      model: { type: 'string', default: path.join(root, 'models/demo') },
      seed: { type: 'string', default: '42' },
      out: { type: 'string', default: path.join(root, 'docs/demo-sheet.webp') },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  return values;
}

async function drawn(url, prompt, seed) {
  const answer = await fetch(new URL('/text-to-image', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'image/png' },
    body: JSON.stringify({ prompt, seed }),
  });
  if (!answer.ok) throw new Error(`"${prompt}": the service answered ${answer.status}: ${await answer.text()}`);
  return Buffer.from(await answer.arrayBuffer());
}

/** Whole words in lines of at most `lettersInLine`. */
function linesOf(prompt) {
  const lines = [''];
  for (const word of prompt.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length <= lettersInLine) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  if (lines.length > linesOfPrompt) throw new Error(`"${prompt}" does not fit below its picture`);
  return lines;
}

function placeOf(index) {
  const left = gap + (index % columns) * (tile + gap);
  const top = gap + Math.floor(index / columns) * (tile + captionHeight);
  return { left, top };
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function captions(prompts, width, height) {
  const texts = prompts.flatMap((prompt, index) => {
    const { left, top } = placeOf(index);
    return linesOf(prompt).map((line, i) => {
      const baseline = top + tile + (i + 1) * lineHeight - 2;
      return `<text x="${left}" y="${baseline}">${escaped(line)}</text>`;
    });
  });
  const open = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`;
  return Buffer.from(`${open} font-family="DejaVu Sans, sans-serif" font-size="11.5">${texts.join('')}</svg>`);
}

async function writeSheet(file, prompts, pictures) {
  const width = gap + columns * (tile + gap);
  const height = gap + Math.ceil(prompts.length / columns) * (tile + captionHeight);
  const tiles = await Promise.all(
    pictures.map(async (picture, index) => ({ input: await sharp(picture).resize(tile, tile).toBuffer(), ...placeOf(index) })),
  );
  await sharp({ create: { width, height, channels: 3, background: 'white' } })
    .composite([...tiles, { input: captions(prompts, width, height), left: 0, top: 0 }])
    .toFormat(path.extname(file).slice(1), { quality: 92 })
    .toFile(file);
}

async function drawSheet(url, { seed, out }) {
  const prompts = JSON.parse(readFileSync(path.join(root, 'scripts/demo-sheet.prompts.json'), 'utf8'));
  const started = performance.now();
  const pictures = [];
  for (const prompt of prompts) {
    pictures.push(await drawn(url, prompt, Number(seed)));
    const each = (performance.now() - started) / pictures.length / 1000;
    const left = Math.round((prompts.length - pictures.length) * each);
    console.error(`${pictures.length}/${prompts.length} ${prompt} (${each.toFixed(2)} s each, ${left} s left)`);
  }
  await writeSheet(out, prompts, pictures);
  console.log(out);
}

const values = options();
if (values.url === undefined) {
  await withServer(root, ['--model', values.model], ({ port }) => drawSheet(`http://127.0.0.1:${port}`, values));
} else {
  await drawSheet(values.url, values);
}
