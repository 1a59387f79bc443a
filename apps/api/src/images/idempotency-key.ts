import type { ImageFile } from '@app/image-processing';
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const maxLength = 255;

/** The Idempotency-Key of a request, or what is wrong with it; both null: there is none. */
export function readIdempotencyKey({ headersDistinct }: IncomingMessage): { key: string | null; fault: string | null } {
  const sent = headersDistinct['idempotency-key'];
  if (sent === undefined) return { key: null, fault: null };
  const [key = ''] = sent;
  if (sent.length > 1) return { key: null, fault: 'was sent more than once' };
  if (/[^\x20-\x7e]/.test(key)) return { key: null, fault: 'must hold nothing but printable ASCII characters' };
  if (key === '' || key.length > maxLength) {
    return { key: null, fault: `must have 1 to ${maxLength} characters, has ${key.length}` };
  }
  return { key, fault: null };
}

/**
 * What makes two requests the same: the route, the fields as they were sent, and the bytes of the files in their order. Not the
 * names of files, nor headers: each call may want its answer in a form of its own.
 */
export function fingerprint(route: string, fields: object, files: readonly ImageFile[]): string {
  const sent = { route, fields, files: files.map(({ field, bytes }) => ({ field, sha256: sha256(bytes) })) };
  return sha256(JSON.stringify(sorted(sent)));
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The same with the members of all objects in one order: as a list, for an object would put keys such as "10" first. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return { members: members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, member]) => [key, sorted(member)]) };
}
