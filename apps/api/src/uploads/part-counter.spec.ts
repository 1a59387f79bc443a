import type { Request } from 'express';
import { Writable } from 'node:stream';
import { boundary, field, file, formOf, formType } from '../../../../test/fixtures/forms.js';
import { PartCounter } from './part-counter.js';

describe(PartCounter.name, () => {
  let parser: Writable;
  let parts: PartCounter;
  beforeEach(() => {
    parser = new Writable();
    parts = new PartCounter({ headers: { 'content-type': formType } } as Request, parser);
  });

  function take(body: Buffer, pieceBytes: number): void {
    for (let at = 0; at < body.length; at += pieceBytes) parts.take(body.subarray(at, at + pieceBytes));
  }

  const two = [file('image', Buffer.alloc(100, '\r\n--BOUND')), field('prompt', 'x')];

  it.each([1, 2, 3, 7, 11, 100, 1000])('counts a form that comes in pieces of %i bytes', (pieceBytes) => {
    take(formOf(two), pieceBytes);
    expect(parts.passedOver).toBe(2);
    parser.emit('file');
    parser.emit('field');
    expect(parts.passedOver).toBe(0);
  });

  it.each<[string, Buffer, number]>([
    ['text before and behind it', Buffer.concat([Buffer.from('hello\r\n'), formOf(two), formOf(two)]), 2],
    ['a delimiter of more characters in a file', formOf([field('a', `\r\n--${boundary}x\r\n`)]), 1],
    ['no parts', formOf([]), 0],
    ['an end that has not come', formOf(two).subarray(0, 60), 1],
  ])('counts a form with %s', (_name, body, count) => {
    take(body, 5);
    expect(parts.passedOver).toBe(count);
  });
});
