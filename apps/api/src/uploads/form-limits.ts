import type { LimitsConfig } from '@app/config';

/** Multer's own limits are infinite. */
export interface FormLimits {
  fileSize: number;
  files: number;
  fieldSize: number;
  fields: number;
  parts: number;
  fieldNameSize: number;
  fieldNestingDepth: number;
}

/** One picture is wanted; a second is taken in only to be told of together with the other faults. */
const files = 2;
const fields = 64;
/** Of one field, and of all text of a form: as much as a JSON body may have. */
const textBytes = 1024 * 1024;

export function formLimits({ maxUploadBytes }: Pick<LimitsConfig, 'maxUploadBytes'>): FormLimits {
  return {
    fileSize: maxUploadBytes,
    files,
    fieldSize: textBytes,
    fields,
    parts: files + fields,
    fieldNameSize: 100,
    // Lists and objects are JSON in one field.
    fieldNestingDepth: 0,
  };
}

/** Bytes of the largest body that these limits let through, with its boundaries and part headers among the text. */
export function maxBodyBytes({ fileSize, files }: Pick<FormLimits, 'fileSize' | 'files'>): number {
  return files * fileSize + textBytes;
}
