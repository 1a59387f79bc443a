export type ImageErrorCode =
  | 'UNSUPPORTED_MEDIA_TYPE' // not a PNG, JPEG or WebP file by its first bytes
  | 'INVALID_IMAGE'; // empty, truncated, broken or too large

/** Uploaded bytes that do not become a picture. */
export class ImageError extends Error {
  override readonly name = 'ImageError';

  constructor(
    readonly code: ImageErrorCode,
    /** The file's field in the request. */
    readonly field: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
