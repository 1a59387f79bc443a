export { ImageDecoder, type ImageFile, type ImageHeader } from './image-decoder.js';
export { ImageEncoder, type OutputFormat } from './image-encoder.js';
export { imageFormats, mediaTypes, type ImageFormat } from './image-format.js';
export { ImageProcessingModule } from './image-processing.module.js';
export { ImageError, type ImageErrorCode } from './image.error.js';
export type { Pixels } from './pixels.js';
export type { PictureDescription, Provenance } from './provenance.js';
