/** What people ask for: written only where that is wanted. */
const prompts: readonly string[] = ['prompt', 'negativePrompt', 'negative_prompt'];
/** What lets people in: never written, wherever it occurs. */
const secrets: readonly string[] = ['authorization', 'x-api-key', 'cookie', 'token', 'password', 'secret'];

const maxDepth = 5;

/** Turns anything into plain data for a log line: errors with their stack and cause, bytes as a count, secrets hidden. */
export class LogFields {
  private readonly hidden: ReadonlySet<string>;

  constructor({ prompts: showsPrompts }: { prompts: boolean }) {
    this.hidden = new Set(showsPrompts ? secrets : [...secrets, ...prompts]);
  }

  of(record: object, depth = 0): Record<string, unknown> {
    const fields = Object.entries(record).filter(([, value]) => value !== undefined);
    return Object.fromEntries(fields.map(([key, value]) => [key, this.hides(key) ? '[hidden]' : this.field(value, depth)]));
  }

  field(value: unknown, depth = 0): unknown {
    if (value instanceof Error) return this.error(value, depth);
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (typeof value === 'bigint') return value.toString();
    if (typeof value !== 'object' || value === null || value instanceof Date) return value;
    if (depth >= maxDepth) return '[deeper]';
    if (Array.isArray(value)) return value.map((item) => this.field(item, depth + 1));
    return this.of(value, depth + 1);
  }

  private hides(key: string): boolean {
    return this.hidden.has(key) || this.hidden.has(key.toLowerCase());
  }

  private error(error: Error, depth: number): Record<string, unknown> {
    const { name, message, stack, cause } = error;
    return {
      ...this.of(error, depth + 1), // own fields such as `code`
      name,
      message,
      stack,
      ...(cause === undefined || depth >= maxDepth ? {} : { cause: this.field(cause, depth + 1) }),
    };
  }
}
