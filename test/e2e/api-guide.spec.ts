import type { OpenAPIObject } from '@nestjs/swagger';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { Client } from './client.js';
import { examplesOf, type Example } from './guide.js';
import { eventually, projectRoot, Server } from './server.js';

const guide = 'docs/api.md';
/** The text stays as it is printed; only, the status of each request is told as well. */
const tellStatus = `curl() { command curl --write-out '%{stderr}status %{http_code}\\n' "$@"; }`;

describe('docs/api.md', () => {
  let server: Server;
  let folder: string;
  let document: OpenAPIObject;
  let commands: Example[];
  beforeAll(async () => {
    server = await Server.ready();
    document = (await (await new Client(server).get('/openapi.json')).json()) as OpenAPIObject;
    commands = examplesOf(guide, server).filter(({ language, text }) => language === 'sh' && /\bcurl\b/.test(text));
    folder = mkdtempSync(join(tmpdir(), 'guide-'));
    // The commands are for the project's folder, and what they write is not.
    symlinkSync(join(projectRoot, 'docs'), join(folder, 'docs'));
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  async function isReady(): Promise<void> {
    await eventually('the model is loaded', async () => (await new Client(server).get('/health')).status === 200);
  }

  it('has the bounds and defaults of a server that serves the demo model', () => {
    const text = readFileSync(join(projectRoot, guide), 'utf8');
    const properties = (document.components?.schemas?.['TextToImageDto'] as { properties: Record<string, Bounds> }).properties;
    const { width, num_inference_steps: steps } = properties as { width: Bounds; num_inference_steps: Bounds };
    const bounds = ({ minimum, maximum }: Bounds) => `${minimum} to ${maximum}`;
    const side = `integer, ${bounds(width)}, multiple of ${width.multipleOf}`;
    expect(text).toContain(`| \`width\` | ${side} | \`${width.default}\` |`);
    expect(text).toContain(`| \`num_inference_steps\` | integer, ${bounds(steps)} | \`${steps.default}\` |`);
  });

  it('has commands that do what it says, for every route', async () => {
    const told: [string, number][] = [];
    const wanted: [string, number][] = [];
    for (const { heading, text } of commands) {
      const [, method = '', path = ''] = /^([A-Z]+) (\S+)$/.exec(heading) ?? [];
      const operation = document.paths[path]?.[method.toLowerCase() as 'get'];
      const [good = ''] = Object.keys(operation?.responses ?? {}).sort();
      wanted.push([heading, Number(good)]);
      // After the model was unloaded, or is loading, the other routes have to wait for it.
      if (!heading.includes('/admin/')) await isReady();
      const script = `set -euo pipefail\n${tellStatus}\n${text}`;
      const { stderr } = await promisify(execFile)('bash', ['-c', script], { cwd: folder, maxBuffer: 1e8 });
      told.push([heading, Number(/.*status (\d+)/s.exec(stderr)?.[1])]);
      if (text.includes('picture.png')) {
        const picture = join(folder, 'picture.png');
        // Its bytes: a spec before this one in the same process may have locked the readers of files.
        expect([heading, await sharp(readFileSync(picture)).metadata()]).toMatchObject([
          heading,
          { format: 'png', width: 256, height: 256 },
        ]);
        rmSync(picture);
      }
      if (heading === 'POST /admin/model/load') await isReady();
    }
    expect(told).toEqual(wanted);
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(told.map(([heading]) => heading).sort()).toEqual(operations.sort());
  });
});

interface Bounds {
  minimum: number;
  maximum: number;
  multipleOf: number;
  default: number;
}
