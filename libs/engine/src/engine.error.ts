/**
 * What the engine can answer instead of a picture. The native side holds the same list in the same order
 * (native/errors/error.h); test/addon/mirror.spec.ts keeps the two equal.
 */
export const engineErrorCodes = [
  'INVALID_ARGUMENT', // a request that the engine refuses: the message names the field
  'UNSUPPORTED_BY_MODEL', // the loaded checkpoint cannot do this
  'INVALID_MODEL', // a checkpoint folder that cannot be loaded: the message names the file
  'REQUEST_TOO_LARGE', // this size can never fit the memory budget
  'CANCELLED',
  'NUMERICAL_FAILURE', // NaN or Inf: the message names the stage
  'OUT_OF_MEMORY', // the device could not hold this request; the next one works
  'DEVICE_LOST', // the device answers this process no more: the host ends, and another one draws the job
  'ENGINE_UNAVAILABLE', // not loaded, disposed, or its process has ended
  'INTERNAL',
] as const;

export type EngineErrorCode = (typeof engineErrorCodes)[number];

export function isEngineErrorCode(code: unknown): code is EngineErrorCode {
  return (engineErrorCodes as readonly unknown[]).includes(code);
}

export interface EngineErrorOptions extends ErrorOptions {
  /** Field of the request that is refused, by its name in the API. */
  field?: string | undefined;
}

/** A failed load or generation, with a code that callers act on and a message that people read. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly field: string | undefined;

  constructor(
    readonly code: EngineErrorCode,
    message: string,
    { field, ...options }: EngineErrorOptions = {},
  ) {
    super(message, options);
    this.field = field;
  }
}

/** The host ended under a job that it had begun: by itself, or killed. The job may be drawn by the next host, or be the cause. */
export class HostLostError extends EngineError {
  constructor(message: string) {
    super('ENGINE_UNAVAILABLE', message);
  }
}
