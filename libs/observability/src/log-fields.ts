/** Never written, wherever they occur: what people ask for, and what lets them in. */
const hidden = new Set(['prompt', 'negativePrompt', 'negative_prompt', 'authorization', 'x-api-key', 'cookie']);

const maxDepth = 5;

/** Turns anything into plain data for a log line: errors with their stack and cause, bytes as a count, secrets hidden. */
export function toLogField(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return errorFields(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (depth >= maxDepth) return '[deeper]';
  if (Array.isArray(value)) return value.map((item) => toLogField(item, depth + 1));
  return toLogFields(value, depth + 1);
}

export function toLogFields(record: object, depth = 0): Record<string, unknown> {
  const fields = Object.entries(record).filter(([, value]) => value !== undefined);
  return Object.fromEntries(fields.map(([key, value]) => [key, hidden.has(key) ? '[hidden]' : toLogField(value, depth)]));
}

function errorFields(error: Error, depth: number): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  return {
    ...toLogFields(error, depth + 1), // own fields such as `code`
    name,
    message,
    stack,
    ...(cause === undefined || depth >= maxDepth ? {} : { cause: toLogField(cause, depth + 1) }),
  };
}
