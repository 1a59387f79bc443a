export interface Ledger {
  accepted: number;
  ended: Record<'completed' | 'failed' | 'cancelled', number>;
  pending: number;
  running: number;
}

/** What /metrics tells of the jobs. */
export async function readLedger(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Ledger> {
  const text = await (await fetch(`${url}/metrics`, { headers, signal: AbortSignal.timeout(10_000) })).text();
  const read = (name: string) => {
    const line = text.split('\n').find((candidate) => candidate.startsWith(`qwen_image_jobs_${name} `));
    if (line === undefined) throw new Error(`/metrics has no ${name}`);
    return Number(line.split(' ').at(-1));
  };
  const ended = (status: string) => read(`ended_total{status="${status}"}`);
  return {
    accepted: read('accepted_total'),
    ended: { completed: ended('completed'), failed: ended('failed'), cancelled: ended('cancelled') },
    pending: read('pending'),
    running: read('running'),
  };
}

export function endedOf({ ended: { completed, failed, cancelled } }: Ledger): number {
  return completed + failed + cancelled;
}
