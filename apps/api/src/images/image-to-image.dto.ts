import { ApiProperty } from '@nestjs/swagger';
import { positiveNumber } from '../fields/field-rules.js';
import { Field } from '../fields/field.decorator.js';
import { TextToImageDto } from './text-to-image.dto.js';

/** Form of POST /image-to-image. */
export class ImageToImageDto extends TextToImageDto {
  // Taken in by UploadInterceptor: here it is documented only.
  @ApiProperty({ type: String, format: 'binary', description: 'PNG, JPEG or WebP, told by its bytes' })
  readonly image: unknown;

  @Field(
    { rule: positiveNumber(1) },
    { type: 'number', default: 0.6, description: 'how much is drawn anew: steps x strength of the steps are run, rounded up' },
  )
  strength?: number;
}
