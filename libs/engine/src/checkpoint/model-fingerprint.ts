import { createHash, type Hash } from 'node:crypto';
import { open, readdir, readFile, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isJsonObject } from './json-file.js';
import { modelComponents } from './model-folder.js';

const topFiles = ['generation_defaults.json', 'model_index.json'];
const sampleBytes = 4096;
const lengthBytes = 8;
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
    for await (const part of telling(file, size)) hash.update(part);
  } finally {
    await file.close();
  }
}

/** Header and beginnings of tensors. Files that the engine does not read may be anything: of those that are no weights, the beginning. */
async function* telling(file: FileHandle, size: number): AsyncGenerator<Buffer> {
  const length = await readAt(file, 0, lengthBytes);
  const headerLength = length.length === lengthBytes ? Number(length.readBigUInt64LE()) : Infinity;
  const dataStart = lengthBytes + headerLength;
  const header = headerLength <= maxHeaderBytes && dataStart <= size ? await readAt(file, lengthBytes, headerLength) : null;
  const offsets = header && tensorOffsets(header);
  yield offsets ? header : await readAt(file, 0, sampleBytes);
  for (const offset of offsets ?? []) {
    const start = dataStart + offset;
    yield await readAt(file, start, Math.max(0, Math.min(sampleBytes, size - start)));
  }
}

/** Null when the header is not JSON. */
function tensorOffsets(header: Buffer): number[] | null {
  let tensors: unknown;
  try {
    tensors = JSON.parse(header.toString('utf8'));
  } catch {
    return null;
  }
  return Object.values(isJsonObject(tensors) ? tensors : {})
    .map((tensor) => (isJsonObject(tensor) ? tensor['data_offsets'] : undefined))
    .flatMap((offsets) => (Array.isArray(offsets) && Number.isSafeInteger(offsets[0]) ? [offsets[0] as number] : []))
    .sort((a, b) => a - b);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
