import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { EngineError, isEngineErrorCode } from './engine.error.js';
import type {
  DeviceInfo,
  DeviceStats,
  Dtype,
  EngineTimings,
  LoadOptions,
  MemoryModel,
  PixelFile,
  Preview,
  Progress,
  RawImage,
} from './engine.types.js';
import { findProjectRoot } from './project-root.js';

/* The whole surface of the native addon (native/addon). Only apps/engine-host and test/addon load it. */

/** A request in the engine's own terms: token ids instead of text. */
export interface NativeRequest {
  /** Ids of the filled-in template, already cut to the tokenizer's maximum. */
  promptIds: Int32Array;
  /** Null when guidance is off. */
  negativePromptIds: Int32Array | null;
  /** Leading rows of the embeddings that belong to the template and are dropped. */
  dropIndex: number;
  maxSequenceLength: number;
  width: number;
  height: number;
  numInferenceSteps: number;
  trueCfgScale: number;
  seed: number;
  numImages: number;
  image?: RawImage | PixelFile;
  strength?: number;
  previews?: number;
}

export interface NativeResult {
  images: RawImage[];
  timings: EngineTimings;
  vaeTiled: boolean;
}

export interface NativeModelInfo {
  class: string;
  dtype: Dtype;
  parameters: number;
  sizeMultiple: number;
  minSteps: number;
  /** Used when the folder has no generation_defaults.json: 128 latent cells a side. */
  defaultSide: number;
  device: DeviceInfo;
  memory: MemoryModel;
}

export interface BuildInfo {
  libtorch: string;
  cuda: string | null;
}

export interface NativeEngine {
  /** Rejects with INVALID_MODEL (the message names the file) or ENGINE_UNAVAILABLE (no such device). */
  load(folder: string, options: LoadOptions): Promise<NativeModelInfo>;
  /** Events come in order. Progress that JavaScript is late for is dropped, previews never. */
  generate(jobId: string, request: NativeRequest, onEvent: (event: Progress | Preview) => void): Promise<NativeResult>;
  /** False: not here (never came, or ended). Before its generate arrives it is remembered. */
  cancel(jobId: string): boolean;
  stats(): DeviceStats;
  /** Frees the model. Twice is fine; afterwards every call rejects with ENGINE_UNAVAILABLE. */
  dispose(): Promise<void>;
}

export interface Addon {
  Engine: new () => NativeEngine;
  errorCodes(): string[];
  buildInfo(): BuildInfo;
  /** Bytes of stored weights that models have been built from since the process began; may be asked during a load. */
  loadedBytes(): number;
}

const addonFile = 'qwen_image.node';

/**
 * Loads the addon: `path`, or what the native build of this project made.
 *
 * @throws EngineError ENGINE_UNAVAILABLE with the paths that were tried.
 */
export function loadAddon(path?: string): Addon {
  const candidates = path === undefined ? builtAddons() : [path];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found === undefined) {
    throw new EngineError('ENGINE_UNAVAILABLE', `the native addon is not built: no ${candidates.join(', no ')}`);
  }
  try {
    return createRequire(__filename)(found) as Addon;
  } catch (error) {
    throw new EngineError('ENGINE_UNAVAILABLE', `${found}: ${(error as Error).message}`, { cause: error });
  }
}

function builtAddons(): string[] {
  const build = join(findProjectRoot(), 'build', 'native');
  return [join(build, addonFile), join(build, 'Release', addonFile)];
}

/** Errors of the addon carry a `code`; anything else that is thrown on the way to it is a fault of ours. */
export function toEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  return new EngineError(isEngineErrorCode(code) ? code : 'INTERNAL', typeof message === 'string' ? message : String(error), {
    cause: error,
  });
}
