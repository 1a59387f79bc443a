import { readFile, stat } from 'node:fs/promises';
import { EngineError } from '../engine.error.js';

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function invalidModel(path: string, fault: string): EngineError {
  return new EngineError('INVALID_MODEL', `${path}: ${fault}`);
}

const maxShown = 100;

/** A value of such a file as a message shows it: whatever its size, and however deeply it is nested. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isJsonObject(value)) return 'an object';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > maxShown ? `${value.slice(0, maxShown)}…` : value);
}

/** @throws EngineError INVALID_MODEL when `path` is no regular file or holds more than `maxBytes`. */
export async function checkModelFile(path: string, maxBytes = Number.MAX_SAFE_INTEGER): Promise<void> {
  const stats = await stat(path).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException;
    throw invalidModel(path, code === 'ENOENT' ? 'no such file' : message);
  });
  if (!stats.isFile()) throw invalidModel(path, 'not a file');
  if (stats.size > maxBytes) throw invalidModel(path, `${stats.size} bytes, at most ${maxBytes} are read`);
}

export async function readModelText(path: string, maxBytes: number): Promise<string> {
  await checkModelFile(path, maxBytes);
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw invalidModel(path, (error as Error).message);
  });
}

/** @throws EngineError INVALID_MODEL when `path` does not hold one JSON object. */
export async function readModelJson(path: string, maxBytes: number): Promise<JsonObject> {
  const text = await readModelText(path, maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidModel(path, `not JSON: ${(error as Error).message}`);
  }
  if (!isJsonObject(value)) throw invalidModel(path, 'expected a JSON object');
  return value;
}
