import { createHash, type Hash } from 'node:crypto';
import { open, readdir, readFile, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isJsonObject } from './json-file.js';
import { modelComponents } from './model-folder.js';

const topFiles = ['generation_defaults.json', 'model_index.json'];
const sampleBytes = 4096;
const maxHeaderBytes = 100_000_000; // the format's own limit

/**
 * SHA-256 that tells checkpoints apart without reading all of them: names and sizes of every file, the whole text files, and
 * of each weights file its header and the first 4 KiB of each tensor. 57 GB take seconds; a change deep inside one tensor
 * that keeps its beginning is not seen.
 */
export async function fingerprintModelFolder(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of await filesOf(folder)) {
    const path = join(folder, name);
    const { size } = await stat(path);
    hash.update(JSON.stringify([name, size]));
    if (name.endsWith('.safetensors')) await hashWeights(hash, path, size);
    else if (/\.(json|txt|jinja)$/.test(name)) hash.update(await readFile(path));
  }
  return hash.digest('hex');
}

async function filesOf(folder: string): Promise<string[]> {
  const top = await readdir(folder);
  const names = topFiles.filter((name) => top.includes(name));
  for (const component of modelComponents.filter((name) => top.includes(name))) {
    for (const name of await readdir(join(folder, component))) {
      // stat, not the directory entry: files of a hub snapshot are links.
      if (!name.startsWith('.') && (await stat(join(folder, component, name))).isFile()) names.push(`${component}/${name}`);
    }
  }
  return names.sort();
}

async function hashWeights(hash: Hash, path: string, size: number): Promise<void> {
  const file = await open(path);
  try {
    const headerLength = Number((await readAt(file, 0, 8)).readBigUInt64LE());
    const dataStart = 8 + headerLength;
    if (headerLength > maxHeaderBytes || dataStart > size) throw new RangeError(`${path}: the header runs past the file`);
    const header = await readAt(file, 8, headerLength);
    hash.update(header);
    for (const offset of tensorOffsets(header)) {
      const start = dataStart + offset;
      hash.update(await readAt(file, start, Math.max(0, Math.min(sampleBytes, size - start))));
    }
  } finally {
    await file.close();
  }
}

function tensorOffsets(header: Buffer): number[] {
  const tensors: unknown = JSON.parse(header.toString('utf8'));
  return Object.values(isJsonObject(tensors) ? tensors : {})
    .map((tensor) => (isJsonObject(tensor) ? tensor['data_offsets'] : undefined))
    .flatMap((offsets) => (Array.isArray(offsets) && Number.isSafeInteger(offsets[0]) ? [offsets[0] as number] : []))
    .sort((a, b) => a - b);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
