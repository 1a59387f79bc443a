import { cpSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot, Server } from './server.js';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'check-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...args: string[]) => Server.bare(args, {}, folder);

describe('npm start with --check or --print-config', () => {
  it('finds a good configuration and model folder good, and serves nothing', async () => {
    const server = run('--check', '--port', '0');
    expect(await server.ended).toEqual({ code: 0, signal: null, stderr: '' });
    expect(server.text).toMatch(
      /^configuration: good\n\/.*\/models\/demo: QwenImagePipeline, 3 weight files, \d+\.\d MB: good\n$/,
    );
  });

  it('finds a model file that was not copied whole', async () => {
    const copy = join(folder, 'copy');
    cpSync(join(projectRoot, 'models/demo'), copy, { recursive: true });
    const weights = join(copy, 'vae/diffusion_pytorch_model.safetensors');
    truncateSync(weights, 100_000);
    const server = run('--check', '--model', 'copy');
    const { code, stderr } = await server.ended;
    expect([code, server.text]).toEqual([1, 'configuration: good\n']);
    expect(stderr).toContain(`the model folder cannot be loaded: ${weights}: 100000 bytes, its header tells of `);
  });

  it('tells of a wrong configuration alone', async () => {
    const server = run('--check', '--port', 'x', '--model', 'none');
    expect(await server.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('server.port (option --port)') });
    expect(server.text).toBe('');
  });

  it('prints what holds', async () => {
    const server = run('--print-config', '--port', '8080');
    expect(await server.ended).toEqual({ code: 0, signal: null, stderr: '' });
    expect(server.text).toContain('  port: 8080 # option --port\n');
  });
});
