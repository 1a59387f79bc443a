import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import sharp from 'sharp';

/* scripts/demo-sheet.mjs against a service that answers each prompt with a plain picture of its own colour. */

const scripts = resolve(__dirname, '../../scripts');
const prompts = JSON.parse(readFileSync(join(scripts, 'demo-sheet.prompts.json'), 'utf8')) as string[];

interface Sent {
  prompt: string;
  seed: number;
}

function colorOf(prompt: string) {
  return { r: 10 * prompts.indexOf(prompt), g: 0, b: 200 };
}

async function withService<T>(status: number, use: (url: string, sent: Sent[]) => Promise<T>): Promise<T> {
  const sent: Sent[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const body = JSON.parse(await text(request)) as Sent;
      sent.push(body);
      const picture = sharp({ create: { width: 256, height: 256, channels: 3, background: colorOf(body.prompt) } });
      response.writeHead(status).end(status === 200 ? await picture.png().toBuffer() : 'no model is loaded');
    })();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, sent);
  } finally {
    server.close();
  }
}

async function run(...args: string[]) {
  const child = spawn(process.execPath, [join(scripts, 'demo-sheet.mjs'), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const stderr = text(child.stderr);
  const [code] = (await once(child, 'close')) as [number];
  return { code, stderr: await stderr };
}

describe('demo-sheet.mjs', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'demo-sheet-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('asks for every prompt with one seed and nothing else, and shows the pictures in the order of the prompts', async () => {
    const out = join(folder, 'sheet.png');
    const sent = await withService(200, async (url, requests) => {
      expect(await run('--url', url, '--out', out, '--seed', '7')).toMatchObject({ code: 0 });
      return requests;
    });
    expect(sent).toEqual(prompts.map((prompt) => ({ prompt, seed: 7 })));

    const { data, info } = await sharp(readFileSync(out)).raw().toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ width: 8 + 6 * 264, height: 8 + 4 * (256 + 38) });
    prompts.forEach((prompt, index) => {
      const [x, y] = [8 + (index % 6) * 264 + 128, 8 + Math.floor(index / 6) * 294 + 128];
      const at = (y * info.width + x) * info.channels;
      const { r, g, b } = colorOf(prompt);
      expect([...data.subarray(at, at + 3)]).toEqual([r, g, b]);
    });
  });

  it('says which prompt the service would not draw', async () => {
    const { code, stderr } = await withService(503, (url) => run('--url', url, '--out', join(folder, 'sheet.png')));
    expect(code).not.toBe(0);
    expect(stderr).toContain(`"${prompts[0]}": the service answered 503: no model is loaded`);
  });
});
