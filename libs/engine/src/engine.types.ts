/** 8-bit pixels, row-major, interleaved, no padding: `data.length = width * height * channels`. */
export interface RawImage {
  width: number;
  height: number;
  channels: 3 | 4;
  data: Uint8Array;
}

/** RawImage whose `data` is a file's whole content: for a host on this machine, which reads it when the job runs. */
export type PixelFile = Omit<RawImage, 'data'> & { path: string };

/** One generation with every default resolved. Names are diffusers' in camelCase. */
export interface GenerateRequest {
  prompt: string;
  negativePrompt: string;
  width: number;
  height: number;
  numInferenceSteps: number;
  /** 1 switches guidance off: one transformer pass a step. */
  trueCfgScale: number;
  /** Image k is drawn from its own generator, seeded `seed + k`. Integer, 0 to 2^53 - 1. */
  seed: number;
  numImages: number;
  maxSequenceLength: number;
  /** Image-to-image: RGB start picture of any size; the engine resizes it (PIL's LANCZOS, no crop). */
  image?: RawImage | PixelFile;
  /** Image-to-image: 0 < strength <= 1. */
  strength?: number;
  /** How often each image is shown while it is denoised: 0 to 3; fewer where there are few steps. */
  previews?: number;
}

export type Stage = 'encode' | 'denoise' | 'decode';

export interface Progress {
  stage: Stage;
  /** Index of the image in the request. */
  image: number;
  /** Steps done: 0 in `encode`, then 1 to total. */
  step: number;
  /** Steps that are really run (image-to-image runs fewer than asked for). */
  total: number;
}

/** What an image is going to look like, at half its side. */
export interface Preview {
  /** Index of the image in the request. */
  image: number;
  /** Index among the previews of this image. */
  index: number;
  /** Steps done. */
  step: number;
  /** RGB */
  picture: RawImage;
}

/** Milliseconds the engine spent by stage, over all images of the request; previews count as decoding. */
export interface EngineTimings {
  encodeMs: number;
  denoiseMs: number;
  decodeMs: number;
  totalMs: number;
}

export interface EngineWarning {
  code: 'PROMPT_TRUNCATED';
  field: 'prompt' | 'negative_prompt';
  message: string;
}

export interface GenerateResult {
  /** One image per generator, in order; RGB. */
  images: RawImage[];
  timings: EngineTimings;
  /** True when the VAE worked in tiles (by `model.vaeTiling` and the request's size alone). */
  vaeTiled: boolean;
  warnings: EngineWarning[];
}

export type Dtype = 'float32' | 'bfloat16';
export type Residency = 'resident' | 'sequential';
export type VaeTiling = 'auto' | 'always' | 'never';

export interface LoadOptions {
  /** `auto`, `cpu`, `cuda` or `cuda:N`. */
  device: string;
  dtype: Dtype | 'auto';
  /** Intra-op threads; `auto` = the cores of the machine. */
  threads: number | 'auto';
  residency: Residency;
  vaeTiling: VaeTiling;
  /** Bytes the engine may plan with; null: what the device has. */
  memoryBudget: number | null;
}

export interface DeviceInfo {
  type: 'cpu' | 'cuda';
  /** `cpu`, `cuda:0`. */
  id: string;
  /** Product name of the processor or the GPU. */
  name: string;
  threads: number;
}

/**
 * Bytes that a run takes at its peak, as plain coefficients (native/pipeline/memory.h says where they come from);
 * `memoryNeeded` puts them together.
 */
export interface MemoryModel {
  /** To plan with: `model.memoryBudget`, or what the device has. */
  budget: number;
  /** Whatever is drawn: the process with its libraries, and the weights that stay. */
  resident: number;
  /** Held from the request to the result. */
  request: { perInputPixel: number; perPicturePixel: number; perTextToken: number };
  /** `weights` here and below: bytes where models take turns, else 0. */
  textEncoder: { weights: number; perToken: number };
  transformer: {
    weights: number;
    perStep: number;
    /** Steps beyond these cost no more. */
    stepsAtOnce: number;
    perPixel: number;
    /** Once, and again with guidance. */
    perBranchPixel: number;
    perTextToken: number;
  };
  vaeEncoder: VaeMemory;
  vaeDecoder: VaeMemory;
  /** Pictures with more pixels go in tiles; null: none does. */
  tiling: { abovePixels: number | null; tilePixels: number };
}

export interface VaeMemory {
  weights: number;
  /** Of the picture, or of one tile. */
  perWorkPixel: number;
  /** Of the picture in any case. */
  perPixel: number;
}

/** What a folder turned out to hold: the source of limits, defaults and `/info`. */
export interface ModelInfo {
  /** `_class_name` of model_index.json. */
  class: string;
  dtype: Dtype;
  /** Elements of all tensors in the folder, used by the engine or not. */
  parameters: number;
  /** Fingerprint of the folder, see `fingerprintModelFolder`. */
  sha256: string;
  /** Width and height must be multiples of it: 2 x the VAE's spatial ratio. */
  sizeMultiple: number;
  /** 1, or 2 where the scheduler's terminal shift makes one step undefined. */
  minSteps: number;
  /** Tokens that a prompt may not spell out. */
  refusedTokens: readonly string[];
  defaults: {
    width: number;
    height: number;
    numInferenceSteps: number;
    trueCfgScale: number;
    negativePrompt: string;
  };
  device: DeviceInfo;
  memory: MemoryModel;
  libtorch: string;
  /** CUDA version of the loaded libtorch, null on a CPU build or without a device. */
  cuda: string | null;
}

export interface DeviceStats {
  /** Resident bytes of the host process on a CPU; on CUDA what is taken of the device, by other processes too. */
  memoryUsed: number;
  memoryTotal: number;
}
