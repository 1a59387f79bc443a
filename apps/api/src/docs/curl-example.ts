import type { NamedOperation } from './operations.js';

/** Where `npm start` serves. */
const base = 'http://localhost:3000';
const jsonType = 'application/json';
const formType = 'multipart/form-data';

interface Media {
  examples?: Record<string, { value: Record<string, unknown> }>;
}

/** Commands that can be typed as they stand; the last one asks this operation. */
export function curlExample({ path, method, operation }: NamedOperation, ofJob: NamedOperation): string {
  const request = method === 'get' ? [] : [`-X ${method.toUpperCase()}`];
  if (path.startsWith('/jobs/')) return jobCommands(path, request, ofJob).join('\n');
  const body = bodyArguments(operation);
  // curl makes a POST of whatever has a body.
  const verb = method === 'post' && body.length > 0 ? [] : request;
  const picture = 'image/png' in contentOf(operation.responses['200']) ? ["-H 'Accept: image/png'", '-o picture.png'] : [];
  return command([...verb, ...body, ...picture, `${base}${path}`]);
}

/** There has to be a job first. */
function jobCommands(path: string, request: readonly string[], ofJob: NamedOperation): string[] {
  const submit = command(["-H 'Prefer: respond-async'", ...bodyArguments(ofJob.operation), `${base}${ofJob.path}`]);
  const ask = path.replace('/jobs/{id}', `${base}$job`).replace('{k}', '0');
  const wait = path.includes('{k}') ? [command(['-N', '-o events.txt', `${base}$job/events`])] : [];
  const stream = path.endsWith('/events') ? ['-N'] : [];
  const file = path.includes('{k}') ? ['-o picture.png'] : [];
  return [`job=$(${submit} | sed 's/.*"self":"\\([^"]*\\)".*/\\1/')`, ...wait, command([...request, ...stream, ...file, ask])];
}

function command(args: readonly string[]): string {
  return ['curl -s', ...args].join(' ');
}

function bodyArguments({ requestBody }: NamedOperation['operation']): string[] {
  const content = contentOf(requestBody);
  const json = firstExample(content[jsonType]);
  if (json) return [`-H 'Content-Type: ${jsonType}'`, `-d ${quoted(JSON.stringify(json))}`];
  const form = Object.entries(firstExample(content[formType]) ?? {});
  return form.map(([name, value]) => `-F ${quoted(`${name}=${name === 'image' ? '@' : ''}${String(value)}`)}`);
}

function firstExample(media: Media | undefined): Record<string, unknown> | undefined {
  return Object.values(media?.examples ?? {})[0]?.value;
}

function contentOf(holder: object | undefined): Record<string, Media> {
  return holder && 'content' in holder ? (holder.content as Record<string, Media>) : {};
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
