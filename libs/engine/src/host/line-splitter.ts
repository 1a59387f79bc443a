/** Cuts a stream of text into lines, and lines that never end into pieces: a stream of garbage must not fill the memory. */
export class LineSplitter {
  private rest = '';

  constructor(
    private readonly maxLength: number,
    private readonly onLine: (line: string) => void,
  ) {}

  push(chunk: string): void {
    const lines = (this.rest + chunk).split(/\r?\n/);
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.emit(line);
    while (this.rest.length > this.maxLength) {
      this.emit(this.rest.slice(0, this.maxLength));
      this.rest = this.rest.slice(this.maxLength);
    }
  }

  end(): void {
    this.emit(this.rest);
    this.rest = '';
  }

  private emit(line: string): void {
    for (let start = 0; start < line.length; start += this.maxLength) this.onLine(line.slice(start, start + this.maxLength));
  }
}
