import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkWeightFile, weightFilesOf } from './weight-files.js';

const nobody = 65534;

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'qwen-weights-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, bytes: Buffer | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

function safetensors(header: object | string, dataBytes: number, toldLength?: bigint): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(toldLength ?? BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(dataBytes)]);
}

const header = {
  __metadata__: { format: 'pt' },
  a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
  b: { dtype: 'F32', shape: [1], data_offsets: [8, 12] },
};

describe('checkWeightFile', () => {
  it('takes a whole file and tells its size', async () => {
    const bytes = safetensors(header, 12);
    expect(await checkWeightFile(write('whole', bytes))).toBe(bytes.length);
  });

  it.each<[string, Buffer, RegExp]>([
    ['empty', Buffer.alloc(0), /0 bytes: too short/],
    ['seven bytes', Buffer.alloc(7), /7 bytes: too short/],
    ['cut short in its data', safetensors(header, 11), /was not copied whole/],
    ['longer than it says', safetensors(header, 13), /was not copied whole/],
    ['cut short in its header', safetensors(header, 0).subarray(0, 40), /cut short/],
    ['a huge header', safetensors(header, 12, 2n ** 63n), /a header of 9223372036854776000 bytes/],
    ['no JSON', safetensors('{"a":', 0), /not JSON/],
    ['a list', safetensors('[]', 0), /not an object/],
    ['no offsets', safetensors({ a: { dtype: 'F32' } }, 0), /a has no data_offsets/],
    ['odd offsets', safetensors({ a: { data_offsets: [0, -4] } }, 0), /a has no data_offsets/],
    ['a text', Buffer.from('<!doctype html><title>Not found</title>'), /no safetensors file, or cut short/],
    ['a Git LFS pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0'), /git lfs pull/],
  ])('refuses a file that is %s', async (name, bytes, message) => {
    const path = write(name, bytes);
    await expect(checkWeightFile(path)).rejects.toMatchObject({ code: 'INVALID_MODEL', message: expect.stringMatching(message) });
    await expect(checkWeightFile(path)).rejects.toThrow(path);
  });

  it('refuses what is not there', async () => {
    await expect(checkWeightFile(join(folder, 'none'))).rejects.toThrow('no such file');
  });

  it('names what it may not read', async () => {
    const path = write('secret', safetensors(header, 12));
    chmodSync(path, 0);
    chmodSync(folder, 0o755);
    const isRoot = process.getuid?.() === 0; // who may read everything
    if (isRoot) process.seteuid?.(nobody);
    try {
      await expect(checkWeightFile(path)).rejects.toMatchObject({
        code: 'INVALID_MODEL',
        message: expect.stringContaining('EACCES'),
      });
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});

describe('weightFilesOf', () => {
  it('gives the one file, or those of the index, once each', async () => {
    expect(await weightFilesOf(join(folder, 'one'))).toEqual([join(folder, 'one')]);
    write('many.index.json', JSON.stringify({ weight_map: { a: 'x-1', b: 'x-2', c: 'x-1' } }));
    expect(await weightFilesOf(join(folder, 'many'))).toEqual([join(folder, 'x-1'), join(folder, 'x-2')]);
  });

  it('takes what the library of the component takes where there are both', async () => {
    for (const name of ['model.safetensors', 'diffusion_pytorch_model.safetensors']) {
      write(name, 'one');
      write(`${name}.index.json`, JSON.stringify({ weight_map: { a: 'x-1' } }));
    }
    expect(await weightFilesOf(join(folder, 'model.safetensors'))).toEqual([join(folder, 'model.safetensors')]);
    expect(await weightFilesOf(join(folder, 'diffusion_pytorch_model.safetensors'))).toEqual([join(folder, 'x-1')]);
  });

  it.each<[string, object]>([
    ['weight_map must be an object', {}],
    ['"../x" is no file name', { weight_map: { a: '../x' } }],
    ['1 is no file name', { weight_map: { a: 1 } }],
  ])('refuses an index: %s', async (message, index) => {
    write('odd.index.json', JSON.stringify(index));
    await expect(weightFilesOf(join(folder, 'odd'))).rejects.toThrow(message);
  });
});
