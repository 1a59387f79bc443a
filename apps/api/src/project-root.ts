import { join } from 'node:path';

/** Folder of package.json, from dist/apps/api/src. */
export const projectRoot = join(__dirname, '../../../..');
