import { errorRows, errorTypeOf } from '../fuzz/contract.js';
import type { RawAnswer } from '../fixtures/raw-client.js';

/** What of an error is not told by its row of the contract's table. */
export interface Expected {
  message: string | RegExp;
  param?: string;
  details?: { field: string; message: string | RegExp }[];
  /** HTTP's own, of what is no request. */
  status?: number;
  /** Headers of this answer alone. */
  headers?: Readonly<Record<string, string | RegExp>>;
}

/** Headers that tell a client something about an error: an answer has those that it must have, and no others of these. */
const telling = [
  'allow',
  'content-type',
  'location',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'retry-after',
  'www-authenticate',
  'x-job-id',
  'x-should-retry',
];

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const seconds = /^[1-9]\d*$/;
/** Of a request that had become a job. */
export const ofJob = { 'x-job-id': uuid };

/** Codes that some answer came with. */
export const answeredCodes = new Set<string>();

/** Holds a whole answer against the contract: status, every field of the body, every header that tells something. */
export async function expectError(answer: Response, code: string, expected: Expected): Promise<void> {
  const row = errorRows[code];
  if (!row) throw new Error(`${code} is no row of the contract`);
  const { message, param = null, details, status = row.status, headers = {} } = expected;
  const requestId = answer.headers.get('x-request-id');
  expect({ status: answer.status, headers: tellingHeaders(answer), body: await answer.json() }).toEqual({
    status,
    headers: matching({
      'content-type': 'application/json; charset=utf-8',
      ...(row.retry ? {} : { 'x-should-retry': 'false' }),
      ...(row.retryAfter ? { 'retry-after': seconds } : {}),
      ...headers,
    }),
    body: {
      error: {
        code,
        type: errorTypeOf(row.status),
        message: matchOf(message),
        param: param ?? details?.[0]?.field ?? null,
        ...(details ? { details: details.map((detail) => matching({ ...detail })) } : {}),
        request_id: requestId,
      },
    },
  });
  expect(requestId).toMatch(uuid);
  answeredCodes.add(code);
}

/** What a raw connection said, for `expectError`. */
export function asResponse({ status, headers, text }: RawAnswer): Response {
  return new Response(text, { status, headers });
}

function tellingHeaders({ headers }: Response): Record<string, string | null> {
  return Object.fromEntries(telling.filter((name) => headers.has(name)).map((name) => [name, headers.get(name)]));
}

function matching(values: Readonly<Record<string, string | RegExp>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, matchOf(value)]));
}

function matchOf(value: string | RegExp): unknown {
  return typeof value === 'string' ? value : expect.stringMatching(value);
}
