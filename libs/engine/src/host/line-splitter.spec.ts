import { LineSplitter } from './line-splitter.js';

function linesOf(chunks: string[], maxLength = 10): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter(maxLength, (line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  splitter.end();
  return lines;
}

describe(LineSplitter.name, () => {
  it('joins chunks, drops empty lines and keeps an unfinished last one', () => {
    expect(linesOf(['on', 'e\ntw', 'o\r\n\nthree'])).toEqual(['one', 'two', 'three']);
  });

  it('cuts lines that are too long, finished or not', () => {
    expect(linesOf(['a'.repeat(25), '\n', 'b'.repeat(12), '\n'])).toEqual([
      'a'.repeat(10),
      'a'.repeat(10),
      'a'.repeat(5),
      'b'.repeat(10),
      'bb',
    ]);
  });
});
