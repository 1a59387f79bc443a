import { open, stat } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { checkModelFile, invalidModel, isJsonObject, readModelJson, shown } from './json-file.js';

const maxIndexBytes = 64 * 1024 * 1024;
/** What the format allows. */
const maxHeaderBytes = 100_000_000;
const lengthBytes = 8;
/** A Git LFS pointer begins with "version https://git-lfs…". */
const pointerBegin = Buffer.from('version ');

/** What transformers calls a component's one file; diffusers' name is another. */
const transformersName = 'model.safetensors';

/**
 * Files of a component's weights: the one file, or those that its index names. Where a folder has both, transformers takes the
 * one file and diffusers the index; so does the engine (native/weights/weights.cpp).
 *
 * @throws EngineError INVALID_MODEL naming the file.
 */
export async function weightFilesOf(path: string): Promise<string[]> {
  const index = `${path}.index.json`;
  if (!existsSync(index) || (basename(path) === transformersName && existsSync(path))) return [path];
  const map = (await readModelJson(index, maxIndexBytes))['weight_map'];
  if (!isJsonObject(map)) throw invalidModel(index, 'weight_map must be an object');
  const names = new Set(Object.values(map));
  return [...names].map((name) => {
    if (typeof name !== 'string' || basename(name) !== name) throw invalidModel(index, `${shown(name)} is no file name`);
    return join(path, '..', name);
  });
}

/**
 * Looks at the head of a safetensors file: the tensors must fill the rest of it, so that one that was cut short is found
 * without reading it.
 *
 * @returns bytes of the file
 * @throws EngineError INVALID_MODEL naming the file.
 */
export async function checkWeightFile(path: string): Promise<number> {
  await checkModelFile(path);
  const { size } = await stat(path);
  const end = lengthBytes + (await dataBytesBehindHeader(path, size));
  if (end !== size) throw invalidModel(path, `${size} bytes, its header tells of ${end}: it was not copied whole`);
  return size;
}

/** Bytes of header and tensors. */
async function dataBytesBehindHeader(path: string, size: number): Promise<number> {
  const file = await open(path).catch((error: unknown) => {
    throw invalidModel(path, (error as Error).message);
  });
  try {
    const length = Buffer.alloc(lengthBytes);
    if (size < lengthBytes || (await file.read(length, 0, lengthBytes, 0)).bytesRead < lengthBytes) {
      throw invalidModel(path, `${size} bytes: too short for a safetensors file`);
    }
    if (length.equals(pointerBegin)) throw invalidModel(path, 'a Git LFS pointer, not the file that it stands for: git lfs pull');
    const headerBytes = Number(length.readBigUInt64LE());
    if (headerBytes > Math.min(maxHeaderBytes, size - lengthBytes)) {
      throw invalidModel(path, `a header of ${headerBytes} bytes in a file of ${size}: no safetensors file, or cut short`);
    }
    const header = Buffer.alloc(headerBytes);
    await file.read(header, 0, headerBytes, lengthBytes);
    return headerBytes + lastOffset(path, header);
  } finally {
    await file.close();
  }
}

function lastOffset(path: string, header: Buffer): number {
  let tensors: unknown;
  try {
    tensors = JSON.parse(header.toString('utf8'));
  } catch {
    throw invalidModel(path, 'its header is not JSON');
  }
  if (!isJsonObject(tensors)) throw invalidModel(path, 'its header is not an object');
  let last = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name === '__metadata__') continue;
    const offsets = isJsonObject(tensor) ? tensor['data_offsets'] : null;
    const end: unknown = Array.isArray(offsets) ? offsets[1] : null;
    if (!Number.isSafeInteger(end) || Number(end) < 0) throw invalidModel(path, `${name} has no data_offsets`);
    last = Math.max(last, Number(end));
  }
  return last;
}
