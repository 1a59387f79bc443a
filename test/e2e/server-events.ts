export interface ServerEvent {
  id: number;
  name: string;
  data: Record<string, unknown>;
}

/** The events of a stream, each when it has come; comments are passed over. Throws when the connection is lost. */
export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent, void> {
  if (!response.body) return;
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const event = eventIn(text.slice(0, end));
      text = text.slice(end + 2);
      if (event) yield event;
    }
  }
}

export async function allEventsOf(response: Response): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of eventsOf(response)) events.push(event);
  return events;
}

export function eventsIn(text: string): ServerEvent[] {
  return text.split('\n\n').flatMap((block) => eventIn(block) ?? []);
}

function eventIn(block: string): ServerEvent | null {
  const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
  const [id, name, data] = [fields.get('id'), fields.get('event'), fields.get('data')];
  if (id === undefined || name === undefined || data === undefined) return null;
  return { id: Number(id), name, data: JSON.parse(data) as Record<string, unknown> };
}
