import { positiveNumber } from '../fields/field-rules.js';
import { Field } from '../fields/field.decorator.js';
import { TextToImageDto } from './text-to-image.dto.js';

/** Fields of POST /image-to-image, beside its file. */
export class ImageToImageDto extends TextToImageDto {
  @Field(
    { rule: positiveNumber(1) },
    { type: 'number', default: 0.6, description: 'how much is drawn anew: int(steps x strength) steps are run, at least one' },
  )
  strength?: number;
}
