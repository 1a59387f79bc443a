import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot, type Server } from './server.js';

/** Where the guides say that the server is: at what `npm start` serves. */
const printed = 'localhost:3000';

export interface Example {
  /** The heading above it: POST /text-to-image */
  heading: string;
  language: string;
  text: string;
}

/** The blocks of code in a guide, for this server: as they are printed, but for the port. */
export function examplesOf(guide: string, { port }: Pick<Server, 'port'>): Example[] {
  const text = readFileSync(join(projectRoot, guide), 'utf8').replaceAll(printed, `localhost:${port}`);
  let heading = '';
  return [...text.matchAll(/^#+ (.*)$|^```(\w+)\n([^]*?)\n```$/gm)].flatMap(([, title, language = '', code = '']) => {
    heading = title ?? heading;
    return title === undefined ? [{ heading, language, text: code }] : [];
  });
}
