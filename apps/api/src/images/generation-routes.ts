/** Paths whose POST asks for pictures. */
export const generationRoutes: readonly string[] = ['/text-to-image', '/image-to-image'];

/** Of a request as it came: Express' routes mind neither case nor a slash at the end. */
export function isGenerationPath(path: string): boolean {
  return generationRoutes.includes(path.toLowerCase().replace(/\/$/, ''));
}

/** On every answer to a request that became a job, however the job ended. */
export const jobIdHeader = 'X-Job-Id';
