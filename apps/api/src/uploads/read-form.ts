import type { Request, Response } from 'express';
import multer from 'multer';
import type { Readable, Writable } from 'node:stream';
import { fieldError, formError, namelessPart } from './form-error.js';
import type { FormLimits } from './form-limits.js';
import { PartCounter } from './part-counter.js';

/** What the types of multer leave out. */
interface Options extends multer.Options {
  /** Feeds the body to the parser. */
  streamHandler(body: Request, parser: Writable): void;
}

/**
 * Takes a multipart body in: fields to `request.body`, files to `request.files`, into memory. `onBytes` is told of every piece
 * before it is kept, and refuses it by throwing.
 * @throws ServiceError
 */
export function readForm(
  request: Request,
  response: Response,
  limits: FormLimits,
  onBytes: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(formError(error, request, limits));
    let parts: PartCounter | null = null;
    const finish = () => {
      if (parts?.passedOver) fail(namelessPart());
      else resolve();
    };
    const options: Options = {
      storage: multer.memoryStorage(),
      limits: { ...limits },
      defParamCharset: 'utf8',
      // Names of files are not used; cut to their last part, some would be none.
      preservePath: true,
      streamHandler: (body, parser) => {
        refuseNamelessFiles(parser);
        parts = new PartCounter(body, parser);
        // Multer answers an error when the rest of the body has come, which may be never: this one is told at once.
        refusePieces(body, parser, onBytes, fail);
        body.on('data', (piece: Buffer) => parts?.take(piece));
        body.pipe(parser);
      },
    };
    multer(options).any()(request, response, (error: unknown) => (error ? fail(error) : finish()));
  });
}

/** A browser sends a file that nobody chose as an empty one without a name. Multer drops whatever has none, a field's value too. */
function refuseNamelessFiles(parser: Writable): void {
  parser.on('file', (field: string | undefined, content: Readable, { filename }: { filename?: string }) => {
    if (field === undefined || filename) return;
    const message = 'came as bytes without a file name: a file needs one, and text has no such Content-Type';
    content.once('data', () => parser.destroy(fieldError('INVALID_ARGUMENT', field, message)));
  });
}

function refusePieces(body: Request, parser: Writable, onBytes: (bytes: number) => void, fail: (error: unknown) => void): void {
  const count = (piece: Buffer) => {
    try {
      onBytes(piece.length);
    } catch (error) {
      body.off('data', count);
      body.unpipe(parser);
      parser.destroy(error as Error);
      fail(error);
    }
  };
  body.on('data', count);
}
