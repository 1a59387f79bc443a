/** Clients that wait for one job on their connections: when the last one goes, nobody may want it any more. */
export class LiveClients {
  private readonly counts = new Map<string, number>();
  private readonly graces = new Map<string, NodeJS.Timeout>();

  /**
   * `onLastGone` is called `graceMs` after the last client has gone, unless another one came meanwhile. The function that is given back
   * ends this client's wait.
   */
  attach(jobId: string, gone: AbortSignal, graceMs: number, onLastGone: () => void): () => void {
    clearTimeout(this.graces.get(jobId));
    this.graces.delete(jobId);
    this.counts.set(jobId, (this.counts.get(jobId) ?? 0) + 1);
    const onGone = () => {
      gone.removeEventListener('abort', onGone);
      if (!this.leave(jobId)) return;
      if (graceMs === 0) onLastGone();
      else this.graces.set(jobId, setTimeout(() => this.endGrace(jobId, onLastGone), graceMs).unref());
    };
    gone.addEventListener('abort', onGone);
    if (gone.aborted) onGone();
    return () => {
      if (gone.aborted) return;
      gone.removeEventListener('abort', onGone);
      this.leave(jobId);
    };
  }

  /** True: that was the last one. */
  private leave(jobId: string): boolean {
    const count = (this.counts.get(jobId) ?? 0) - 1;
    if (count > 0) this.counts.set(jobId, count);
    else this.counts.delete(jobId);
    return count <= 0;
  }

  private endGrace(jobId: string, onLastGone: () => void): void {
    this.graces.delete(jobId);
    onLastGone();
  }
}
