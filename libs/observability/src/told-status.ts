import type { ServerResponse } from 'node:http';

/** An error that was written to the connection where the answer of a request was to come. */
export interface ToldError {
  status: number;
  code: string;
}

const toldInPlaceOf = new WeakMap<ServerResponse, ToldError>();

export function noteToldError(response: ServerResponse, error: ToldError): void {
  toldInPlaceOf.set(response, error);
}

/** Null: the answer went its own way. */
export function toldError(response: ServerResponse): ToldError | null {
  return toldInPlaceOf.get(response) ?? null;
}

/** Of an answer whose connection has closed; 499, as proxies log it, when its client left before it was told anything. */
export function toldStatus(response: ServerResponse): number {
  return response.headersSent ? response.statusCode : (toldError(response)?.status ?? 499);
}
