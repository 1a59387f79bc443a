import { Module } from '@nestjs/common';
import { ImageDecoder } from './image-decoder.js';
import { ImageEncoder } from './image-encoder.js';

@Module({ providers: [ImageDecoder, ImageEncoder], exports: [ImageDecoder, ImageEncoder] })
export class ImageProcessingModule {}
