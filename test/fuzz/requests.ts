import fc, { type Arbitrary } from 'fast-check';
import type { ApiDocument, Operation } from './document.js';
import { anything, type Draft, type Expectation } from './draft.js';
import { formBody } from './form-bodies.js';
import { drawnHeaders, headers, packed, type DrawnHeaders, type Headers } from './headers.js';
import { jsonBody } from './json-bodies.js';
import type { Pictures } from './pictures.js';
import { strayTarget, targetOf, type Target } from './targets.js';

/** How the bytes come, and whether the client stays. */
export type Delivery =
  | { kind: 'whole' }
  | { kind: 'chunked'; pieces: number }
  /** All is sent, then the client goes. */
  | { kind: 'abort'; afterMs: number }
  /** More was promised than comes. */
  | { kind: 'truncated'; missing: number; how: 'end' | 'reset' };

export class FuzzRequest {
  constructor(
    readonly method: string,
    readonly target: string,
    readonly headers: Headers,
    readonly body: Buffer | null,
    readonly delivery: Delivery,
    readonly expects: Expectation,
    /** Whose documented answers hold: null when the path or the method may be no route's. */
    readonly operation: Operation | null,
  ) {}

  /** What fast-check prints of a counterexample: enough to send it by hand. */
  [fc.toStringMethod](): string {
    const shown = (text: string) => JSON.stringify(text.length > 3000 ? `${text.slice(0, 3000)}… (${text.length} bytes)` : text);
    const lines = Object.entries(this.headers).map(([name, value]) => `  ${name}: ${shown(value)}`);
    const body = this.body === null ? [] : [`  body (as Latin-1): ${shown(this.body.toString('latin1'))}`];
    const notes = `  sent: ${JSON.stringify(this.delivery)}, expected: ${JSON.stringify(this.expects)}`;
    return [`\n${this.method} ${shown(this.target)}`, ...lines, ...body, notes].join('\n');
  }
}

const otherMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'M-SEARCH', 'QUERY'];

function deliveryOf({ expects }: Draft): Arbitrary<Delivery> {
  const abort = fc.record({ kind: fc.constant('abort' as const), afterMs: fc.integer({ min: 0, max: 40 }) });
  const truncated = fc.record({
    kind: fc.constant('truncated' as const),
    missing: fc.constantFrom(1, 1000, 500_000),
    how: fc.constantFrom('end' as const, 'reset' as const),
  });
  const chunked = fc.record({ kind: fc.constant('chunked' as const), pieces: fc.integer({ min: 1, max: 5 }) });
  const whole = fc.constant<Delivery>({ kind: 'whole' });
  const likely = expects.kind === 'drawn' ? 8 : 1; // a good part of what would cost work is given up
  return fc.oneof(
    { weight: 12, arbitrary: whole },
    { weight: 2, arbitrary: chunked },
    { weight: likely, arbitrary: abort },
    { weight: 1, arbitrary: truncated },
  );
}

function assemble(
  operation: Operation,
  { target, exact, hasQuery }: Target,
  drawn: DrawnHeaders,
  draft: Draft,
  delivery: Delivery,
  method: string,
) {
  const right = exact && method === operation.method;
  const given = draft.contentType === null ? {} : { 'content-type': draft.contentType };
  // Which form the answer may have is no matter of the fields, but a picture needs one that can be made.
  const sure = right && !hasQuery && drawn.calm && (draft.expects.kind === 'refused' || drawn.headers['accept'] === undefined);
  const body = draft.contentType === null && draft.body.length === 0 ? null : draft.body;
  return new FuzzRequest(
    method,
    target,
    { ...given, ...drawn.headers },
    body,
    delivery,
    sure ? draft.expects : anything,
    right ? operation : null,
  );
}

function draftsOf(document: ApiDocument, { bodies }: Operation, pictures: Pictures): Arbitrary<Draft> {
  const own = [...bodies].map(([type, schema]) =>
    type === 'multipart/form-data' ? formBody(document, schema, pictures) : jsonBody(document, schema),
  );
  const nothing: Draft = { contentType: null, body: Buffer.alloc(0), expects: anything };
  const untyped = fc
    .uint8Array({ maxLength: 50 })
    .map((bytes): Draft => ({ contentType: null, body: Buffer.from(bytes), expects: anything }));
  if (own.length === 0) return fc.oneof({ weight: 10, arbitrary: fc.constant(nothing) }, { weight: 1, arbitrary: untyped });
  return fc.oneof(
    { weight: 30, arbitrary: fc.oneof(...own) },
    { weight: 1, arbitrary: fc.constant(nothing) },
    { weight: 1, arbitrary: untyped },
  );
}

function requestTo(
  document: ApiDocument,
  operation: Operation,
  pictures: Pictures,
  drafts: Arbitrary<Draft>,
): Arbitrary<FuzzRequest> {
  const methods = fc.oneof(
    { weight: 20, arbitrary: fc.constant(operation.method) },
    { weight: 1, arbitrary: fc.constantFrom(...otherMethods) },
  );
  const drafted = drafts.chain((draft) => fc.tuple(fc.constant(draft), deliveryOf(draft)));
  return fc
    .tuple(targetOf(operation), headers, drafted, methods)
    .map(([target, drawn, [draft, delivery], method]) => assemble(operation, target, drawn, draft, delivery, method));
}

/** Any request, mostly to what the document has. Those with bodies come more often: there is more to get wrong in them. */
export function requests(document: ApiDocument, pictures: Pictures): Arbitrary<FuzzRequest> {
  const { operations } = document;
  const drafts = new Map(operations.map((operation) => [operation, draftsOf(document, operation, pictures)]));
  const withBody = operations.filter(({ bodies }) => bodies.size > 0);
  const anyDraft = fc.oneof(...withBody.map((operation) => drafts.get(operation) ?? draftsOf(document, operation, pictures)));
  const stray = fc
    .tuple(strayTarget, fc.oneof(fc.constant('GET'), fc.constantFrom(...otherMethods)), drawnHeaders(1))
    .map(([target, method, drawn]) => new FuzzRequest(method, target, drawn.headers, null, { kind: 'whole' }, anything, null));
  const compressed = fc.tuple(fc.constantFrom(...withBody), packed).map(([{ path, method }, { encoding, body }]) => {
    const given = { 'content-type': 'application/json', 'content-encoding': encoding };
    return new FuzzRequest(method, path, given, body, { kind: 'whole' }, anything, null);
  });
  return fc.oneof(
    ...operations.map((operation) => ({
      weight: operation.bodies.size > 0 ? 40 : 4,
      arbitrary: requestTo(document, operation, pictures, drafts.get(operation) ?? anyDraft),
    })),
    // A body that belongs to another route.
    ...withBody.map((operation) => ({
      weight: 3,
      arbitrary: requestTo(
        document,
        operation,
        pictures,
        anyDraft.map((draft) => ({ ...draft, expects: anything })),
      ),
    })),
    { weight: 12, arbitrary: stray },
    { weight: 1, arbitrary: compressed },
  );
}
