import { imageFormats, mediaTypes, type ImageFormat } from '@app/image-processing';
import { ServiceError } from '@app/inference';

/** What a client's Accept asks for. */
export interface AnswerWish {
  /** JSON when it is allowed at all, image bytes when nothing else is, null when neither can be made. */
  form: 'json' | 'bytes' | null;
  /** The format when the fields name none. */
  format: ImageFormat;
  /** Formats that may be sent as bytes. */
  allowed: readonly ImageFormat[];
}

export function readAccept(accept: string | undefined): AnswerWish {
  const types = acceptedTypes(accept ?? '*/*');
  const allowed = imageFormats.filter((format) => types.includes(mediaTypes[format]) || types.includes('image/*'));
  if (['application/json', 'application/*', '*/*'].some((type) => types.includes(type)))
    return { form: 'json', format: 'png', allowed };
  const first = types.map((type) => (type === 'image/*' ? 'png' : formatOf(type))).find((format) => format !== undefined);
  return first ? { form: 'bytes', format: first, allowed } : { form: null, format: 'png', allowed };
}

/**
 * The form of the answer, once the fields are known to be right.
 * @throws ServiceError NOT_ACCEPTABLE
 */
export function chooseForm({ form, allowed }: AnswerWish, format: ImageFormat): 'json' | 'bytes' {
  if (form === null) {
    const can = ['application/json', ...Object.values(mediaTypes)].join(', ');
    throw new ServiceError('NOT_ACCEPTABLE', `Accept allows nothing that can be made here: ${can}`);
  }
  if (form === 'bytes' && !allowed.includes(format)) {
    throw new ServiceError('NOT_ACCEPTABLE', `output_format is ${format}, and Accept does not allow ${mediaTypes[format]}`);
  }
  return form;
}

/** Media types that are wanted, the most wanted first, in the order of the header among equals. */
function acceptedTypes(accept: string): string[] {
  const entries = accept.split(',').map((entry) => {
    const [type = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, quality: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  return entries
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality)
    .map(({ type }) => type);
}

function formatOf(type: string): ImageFormat | undefined {
  return imageFormats.find((format) => mediaTypes[format] === type);
}
