import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { examplesOf } from './guide.js';
import { projectRoot, Server } from './server.js';

const run = promisify(execFile);
const modules = join(projectRoot, 'node_modules');

describe('a TypeScript client that is generated from the document', () => {
  let server: Server;
  let folder: string;
  let program: string;
  beforeAll(async () => {
    server = await Server.ready();
    const examples = examplesOf('docs/api.md', server).filter(({ heading }) => heading === 'A typed client');
    const [generate = '', text = ''] = ['sh', 'ts'].map((wanted) => examples.find(({ language }) => language === wanted)?.text);
    program = text;
    folder = mkdtempSync(join(tmpdir(), 'client-'));
    symlinkSync(modules, join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    await run('bash', ['-c', generate], { cwd: folder });
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** What tsc finds wrong. */
  async function compile(text: string): Promise<string> {
    writeFileSync(join(folder, 'main.ts'), text);
    const strict = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', '--noEmitOnError'];
    const target = ['--module', 'nodenext', '--target', 'es2023', '--types', 'node', '--skipLibCheck'];
    const tsc = run(join(modules, '.bin/tsc'), ['main.ts', '--ignoreConfig', ...strict, ...target], { cwd: folder });
    return tsc.then(
      () => '',
      (error: unknown) => (error as { stdout: string }).stdout,
    );
  }

  it('compiles, and draws a picture', async () => {
    expect(await compile(program)).toBe('');
    await run(process.execPath, ['main.js'], { cwd: folder });
    const picture = readFileSync(join(folder, 'picture-0.png'));
    expect(await sharp(picture).metadata()).toMatchObject({ format: 'png', width: 64, height: 64 });
    expect((await sharp(picture).stats()).isOpaque).toBe(true);
  });

  it('lets nobody send what the document refuses', async () => {
    expect(await compile(program.replace(/prompt: '[^']*', /, ''))).toContain("Property 'prompt' is missing");
    expect(await compile(program.replace('seed: 1', "seed: '1'"))).toContain("Type 'string' is not assignable to type 'number'");
    expect(await compile(program.replace('/text-to-image', '/text-to-images'))).toContain('/text-to-images');
  });
});
