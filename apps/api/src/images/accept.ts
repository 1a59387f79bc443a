import { imageFormats, mediaTypes, type ImageFormat } from '@app/image-processing';

/** What a client's Accept asks for. */
export interface AnswerWish {
  /** JSON when it is allowed at all, image bytes when nothing else is, null when neither can be made. */
  form: 'json' | 'bytes' | null;
  /** The most wanted image format; png when none is asked for. */
  format: ImageFormat;
  /** Formats that may be sent as bytes. */
  allowed: readonly ImageFormat[];
}

export function readAccept(accept = ''): AnswerWish {
  const ranges = acceptedRanges(accept.trim() === '' ? '*/*' : accept);
  const allowed = imageFormats.filter((format) => weightOf(mediaTypes[format], ranges) > 0);
  const format = ranges.flatMap(({ type }) => allowed.filter((format) => covers(type, mediaTypes[format]))).at(0);
  const form = weightOf('application/json', ranges) > 0 ? 'json' : format ? 'bytes' : null;
  return { form, format: format ?? 'png', allowed };
}

interface MediaRange {
  type: string;
  /** 0 refuses. */
  weight: number;
}

/** The most wanted first, in the order of the header among equals. */
function acceptedRanges(accept: string): MediaRange[] {
  const ranges = accept.split(',').map((entry) => {
    const [type = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  return ranges.sort((a, b) => b.weight - a.weight);
}

/** The most specific range that covers a type decides (RFC 9110, 12.5.1): `image/png;q=0, image/*` is any image but PNG. */
function weightOf(type: string, ranges: readonly MediaRange[]): number {
  const bySpecificity = [type, groupOf(type), '*/*'].map((name) => ranges.find((range) => range.type === name));
  return bySpecificity.find((range) => range !== undefined)?.weight ?? 0;
}

function covers(range: string, type: string): boolean {
  return range === type || range === groupOf(type) || range === '*/*';
}

function groupOf(type: string): string {
  return `${type.split('/', 1)[0]}/*`;
}
