import type { Request } from 'express';
import type { Writable } from 'node:stream';
import { MIMEType } from 'node:util';

/**
 * Counts the parts of a form twice, on the wire and as the parser gives them: busboy passes over a part that does not say in its
 * Content-Disposition which field it is, and a field that is passed over would be one that is ignored.
 */
export class PartCounter {
  private readonly delimiter: Buffer;
  /** The end of what came, where a delimiter may have begun. The first one stands as if behind a line. */
  private rest = Buffer.from('\r\n');
  private hasEnded = false;
  private begun = 0;
  private given = 0;

  constructor({ headers }: Request, parser: Writable) {
    const boundary = new MIMEType(headers['content-type'] ?? '').params.get('boundary');
    this.delimiter = Buffer.from(`\r\n--${boundary ?? ''}`, 'latin1');
    for (const event of ['field', 'file']) parser.on(event, () => (this.given += 1));
  }

  /** Parts that nobody was given. */
  get passedOver(): number {
    return this.begun - this.given;
  }

  take(piece: Buffer): void {
    if (this.hasEnded) return;
    const { delimiter } = this;
    const bytes = Buffer.concat([this.rest, piece]);
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(delimiter, from);
      const end = at + delimiter.length;
      if (at < 0 || bytes.length < end + 2) {
        this.rest = bytes.subarray(at < 0 ? Math.max(from, bytes.length - delimiter.length + 1) : at);
        return;
      }
      const next = bytes.toString('latin1', end, end + 2);
      if (next === '--') {
        this.hasEnded = true;
        return;
      }
      if (next === '\r\n') this.begun += 1;
      from = next === '\r\n' ? end + 2 : end;
    }
  }
}
