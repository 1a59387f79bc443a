import { allowedServerErrors, errorRows, errorTypeOf, mostJsonBytes } from './contract.js';
import type { ApiDocument, Schema } from './document.js';
import type { FuzzRequest } from './requests.js';
import { ledgerOf } from './ledger.js';
import type { Answer } from './wire.js';

/** An error says what was wrong, not all of it over again. */
const maxErrorBytes = 64 * 1024;

interface ErrorBody {
  code: string;
  type: string;
  message: string;
  param: string | null;
  details?: { field: string; message: string }[];
  request_id: string;
}

/** What is wrong with an answer, by the contract and the document; nothing, when the list is empty. */
export function faultsOf(document: ApiDocument, request: FuzzRequest, answer: Answer | null): string[] {
  const stayed = request.delivery.kind === 'whole' || request.delivery.kind === 'chunked';
  if (answer === null) return stayed ? ['there was no answer'] : [];
  if (!answer.whole) return stayed ? ['the answer was cut short'] : [];
  const { status } = answer;
  if (isHttpFault(request, status)) return [...requestIdFaults(request, answer), ...errorFaults(request, answer)];
  const faults = [...statusFaults(request, status), ...requestIdFaults(request, answer)];
  if (request.method === 'HEAD') return answer.body.length === 0 ? faults : [...faults, 'HEAD was answered with a body'];
  if (status >= 400 && !isProbeAnswer(request, status)) faults.push(...errorFaults(request, answer));
  return [...faults, ...contentFaults(document, request, answer), ...expectationFaults(request, answer)];
}

/** HTTP's own word to what is no whole request, on every route and before its fields. */
function isHttpFault({ delivery, headers: sent }: FuzzRequest, status: number): boolean {
  return (status === 400 && delivery.kind === 'truncated') || (status === 417 && sent['expect'] !== undefined);
}

function statusFaults({ operation, headers }: FuzzRequest, status: number): string[] {
  const faults = status >= 500 && !allowedServerErrors.includes(status) ? [`${status} is the service's own fault`] : [];
  // Whoever comes from elsewhere is turned away before there is a route.
  const foreign = status === 403 && (headers['host'] !== undefined || headers['origin'] !== undefined);
  // HTTP's own answer to a condition that the request itself puts.
  const unchanged = status === 304 && headers['if-none-match'] !== undefined;
  if (operation && !foreign && !unchanged && !operation.responses.has(status)) {
    faults.push(`${status} is not among the document's answers of ${operation.method} ${operation.path}`);
  }
  return faults;
}

/** Refused probes are answers, not errors: they have their own form in the document. */
function isProbeAnswer({ operation }: FuzzRequest, status: number): boolean {
  return status === 503 && (operation?.path.startsWith('/health') ?? false);
}

function requestIdFaults({ headers }: FuzzRequest, answer: Answer): string[] {
  const given = headers['x-request-id'];
  const told = answer.headers['x-request-id'];
  if (typeof told !== 'string' || !/^[A-Za-z0-9._-]{1,128}$/.test(told)) return [`X-Request-Id is ${JSON.stringify(told)}`];
  const acceptable = given !== undefined && /^[A-Za-z0-9._-]{1,128}$/.test(given);
  return acceptable && told !== given ? [`X-Request-Id came back as ${told}`] : [];
}

function errorFaults(request: FuzzRequest, { status, headers, body }: Answer): string[] {
  if (request.method === 'HEAD') return [];
  const error = headers['content-type'] === 'application/json; charset=utf-8' ? readError(body) : null;
  if (!error) return [`an error without the contract's body: ${status} ${body.toString('latin1', 0, 200)}`];
  const faults = body.length > maxErrorBytes ? [`an error of ${body.length} bytes`] : [];
  const row = errorRows[error.code];
  if (!row) return [...faults, `${error.code} is no code of the contract`];
  if (row.status !== status && !isHttpFault(request, status)) faults.push(`${error.code} with ${status}`);
  if (error.type !== errorTypeOf(status)) faults.push(`${error.type} with ${status}`);
  if (error.message === '') faults.push('an error that says nothing');
  if (error.request_id !== headers['x-request-id']) faults.push(`request_id ${error.request_id} is not that of X-Request-Id`);
  if (headers['x-should-retry'] !== (row.retry ? undefined : 'false'))
    faults.push(`${error.code} with x-should-retry: ${String(headers['x-should-retry'])}`);
  if (row.retryAfter && !/^[1-9]\d*$/.test(headers['retry-after'] ?? ''))
    faults.push(`${error.code} with Retry-After: ${headers['retry-after']}`);
  if (status === 405 && !headers.allow) faults.push('405 without Allow');
  if (error.details && error.param !== error.details[0]?.field)
    faults.push(`param ${error.param} is not the first of the details`);
  return faults;
}

const errorKeys = ['code', 'type', 'message', 'param', 'details', 'request_id'];

/** The error when it has the contract's exact shape. */
function readError(body: Buffer): ErrorBody | null {
  try {
    const { error, ...rest } = JSON.parse(body.toString()) as { error: ErrorBody };
    const { code, type, message, param, details = [], request_id } = error;
    const texts = [code, type, message, request_id, ...details.flatMap((detail) => [detail.field, detail.message])];
    const exact =
      Object.keys(rest).length === 0 &&
      Object.keys(error).every((key) => errorKeys.includes(key)) &&
      details.every((detail) => Object.keys(detail).length === 2) &&
      texts.every((text) => typeof text === 'string') &&
      (param === null || typeof param === 'string');
    return exact ? error : null;
  } catch {
    return null;
  }
}

function contentFaults(document: ApiDocument, { operation }: FuzzRequest, { status, headers, body }: Answer): string[] {
  const documented = operation?.responses.get(status);
  if (!documented || documented.size === 0) return [];
  const type = headers['content-type']?.split(';', 1)[0]?.trim() ?? '';
  const schema: Schema | undefined = documented.get(type);
  if (!schema) return [`the document has no ${type || 'answer without a type'} for ${status}`];
  if (type !== 'application/json')
    return type === 'text/plain' && operation?.path === '/metrics' ? ledgerOf(body.toString()).faults : [];
  const fault = document.faultOf(schema, JSON.parse(body.toString()) as unknown);
  return fault === null ? [] : [`the body is not as documented: ${fault}`];
}

/** A JSON body that is promised to be too large is refused before any of it is read, whatever it would hold and wherever it ends. */
function promisesTooMuch({ delivery, body, headers }: FuzzRequest): boolean {
  const promised = (body?.length ?? 0) + (delivery.kind === 'truncated' ? delivery.missing : 0);
  return headers['content-type'] === 'application/json' && delivery.kind !== 'chunked' && promised > mostJsonBytes;
}

function expectationFaults(request: FuzzRequest, { status, body }: Answer): string[] {
  const { expects, headers } = request;
  // Its own key took the place of the right one: before all else that is what is wrong.
  if (status === 401 && headers['x-api-key'] !== undefined) return [];
  if (promisesTooMuch(request)) return status === 413 || expects.kind === 'any' ? [] : [`${status} to a body that is too large`];
  if (expects.kind === 'drawn')
    return status === 200 || status === 429 ? [] : [`${status} to a request that is right: ${body.toString('latin1', 0, 500)}`];
  if (expects.kind === 'any') return [];
  if (status !== 400) return [`${status} to a request that is wrong`];
  const named = readError(body)?.details?.map(({ field }) => field) ?? [];
  // A long name is told by its beginning, one that would not be seen in quotes.
  const isNamed = (field: string) =>
    named.some(
      (name) =>
        name === field ||
        name === JSON.stringify(field.slice(0, 100)) ||
        (name.length > 50 && field.startsWith(name.slice(0, -1))),
    );
  const missed = expects.fields.filter((field) => !isNamed(field));
  return missed.length === 0 ? [] : [`${missed.join(', ')} not named, only ${named.join(', ')}`];
}

/** Of a raw exchange: there is no telling which answers are right, but for those that never are. */
export function rawFaults(said: string): string[] {
  const statuses = [...said.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
  const bad = statuses.filter((status) => status >= 500 && !allowedServerErrors.includes(status));
  if (said !== '' && statuses.length === 0) return [`no HTTP: ${said.slice(0, 200)}`];
  const errors = said.split(/^(?=HTTP\/1\.1 )/m).filter((answer) => /^HTTP\/1\.1 [45]/.test(answer));
  const bare = errors.filter((answer) => !/^x-request-id: [A-Za-z0-9._-]{1,128}\r$/im.test(answer));
  return [
    ...bad.map((status) => `${status} is the service's own fault`),
    ...bare.map((answer) => `an error without an id: ${answer.slice(0, 200)}`),
  ];
}
