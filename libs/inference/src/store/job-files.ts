/** What lies in jobs.directory, by name: `lock`, `corrupt`, and one folder a job, `<id>`. */
export const lockName = 'lock';
export const corruptName = 'corrupt';

/** Of the job, in its folder. It comes last, so a folder without it was never accepted. */
export const recordName = 'job.json';

/** Of what is being written or removed. The next start finds it by this and takes it away. */
export const temporarySuffix = '.tmp';

/** Decoded pixels for the run that goes on: no part of the job. */
export const pixelsName = `pixels${temporarySuffix}`;

// As randomUUID writes it. Another spelling of the same number would be another folder on one disk and the same on another.
const jobIdPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const inputPattern = /^input-\d+$/;
const imagePattern = /^image-\d+$/;
const previewPattern = /^preview-(\d+)\.json$/;

export function isJobId(name: string): boolean {
  return jobIdPattern.test(name);
}

/** A job's folder on its way out. */
export function isRemovedJob(name: string): boolean {
  return name.endsWith(temporarySuffix) && isJobId(name.slice(0, -temporarySuffix.length));
}

export function inputName(index: number): string {
  return `input-${index}`;
}

export function isInput(name: string): boolean {
  return inputPattern.test(name);
}

export function imageName(index: number): string {
  return `image-${index}`;
}

export function isImage(name: string): boolean {
  return imagePattern.test(name);
}

export function previewName(eventId: number): string {
  return `preview-${eventId}.json`;
}

/** Id of the event that the file tells of; null when it is no preview. */
export function previewEventId(name: string): number | null {
  const digits = previewPattern.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}
