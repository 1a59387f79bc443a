export interface Ledger {
  accepted: number;
  ended: number;
  pending: number;
  running: number;
  /** What does not add up. */
  faults: string[];
}

function sumOf(metrics: string, name: string): number {
  const lines = [...metrics.matchAll(new RegExp(`^qwen_image_${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))];
  return lines.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Jobs as GET /metrics counts them, all at one moment. */
export function ledgerOf(metrics: string): Ledger {
  const accepted = sumOf(metrics, 'jobs_accepted_total');
  const ended = sumOf(metrics, 'jobs_ended_total');
  const pending = sumOf(metrics, 'jobs_pending');
  const running = sumOf(metrics, 'jobs_running');
  const balanced = accepted === ended + pending + running;
  const faults = balanced
    ? []
    : [`the ledger does not balance: ${accepted} accepted, ${ended} ended, ${pending} pending, ${running} running`];
  return { accepted, ended, pending, running, faults };
}
