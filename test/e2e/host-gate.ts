import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** While it is closed no engine host of a server with its `variables` comes up, so that a test sees the server without one. */
export class HostGate {
  private readonly folder = mkdtempSync(join(tmpdir(), 'host-gate-'));
  private readonly file = join(this.folder, 'closed');
  readonly variables = { NODE_OPTIONS: `--require ${join(__dirname, 'host-gate.cjs')}`, HOST_GATE: this.file };

  close(): void {
    writeFileSync(this.file, '');
  }

  open(): void {
    rmSync(this.file, { force: true });
  }

  /** Whoever waits still goes on. */
  end(): void {
    rmSync(this.folder, { recursive: true });
  }
}
