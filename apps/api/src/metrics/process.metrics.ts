import { EngineClient, type DeviceStats, type EngineStatus } from '@app/engine';
import { ServiceHealth } from '@app/health';
import { SOFTWARE, type Software } from '@app/inference';
import { MetricsRegistry } from '@app/observability';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const lagResolutionMs = 10;
const lagQuantiles = [0.5, 0.99, 1];

/** The two processes and the device. */
@Injectable()
export class ProcessMetrics implements OnModuleDestroy {
  private readonly lag = monitorEventLoopDelay({ resolution: lagResolutionMs });

  constructor(
    metrics: MetricsRegistry,
    private readonly engine: EngineClient,
    health: ServiceHealth,
    @Inject(SOFTWARE) private readonly software: Software,
  ) {
    this.lag.enable();
    const status = () => engine.status();
    metrics.mirrorLevel('qwen_image_ready', '1 when a generation sent now would be accepted and reach a ready engine', () =>
      health.isReady() ? 1 : 0,
    );
    metrics.mirrorCount('qwen_image_engine_restarts_total', 'Engine hosts started after the first one', () => status().restarts);
    metrics.mirrorLevel(
      'qwen_image_device_memory_used_bytes',
      'What the engine uses of the device; on a CPU what its process holds',
      () => ofDevice(status(), 'memoryUsed'),
      ['device'],
    );
    metrics.mirrorLevel(
      'qwen_image_device_memory_total_bytes',
      'What the device has; on a CPU the machine',
      () => ofDevice(status(), 'memoryTotal'),
      ['device'],
    );
    metrics.mirrorLevel(
      'qwen_image_process_resident_memory_bytes',
      'Resident memory of the api and of the engine host',
      () => this.residentMemory(),
      ['process'],
    );
    metrics.mirrorLevel(
      'qwen_image_event_loop_lag_seconds',
      'By how much timers of the api were late since the last scrape',
      () => this.takeLag(),
      ['quantile'],
    );
    metrics.mirrorLevel('qwen_image_build_info', 'Always 1; its labels say what runs here', () => [[this.build(status()), 1]], [
      'version',
      'node',
      'libtorch',
      'model_class',
      'dtype',
      'device',
    ]);
  }

  onModuleDestroy(): void {
    this.lag.disable();
  }

  private residentMemory(): [{ process: string }, number][] {
    const api: [{ process: string }, number] = [{ process: 'api' }, process.memoryUsage.rss()];
    const { hostPid } = this.engine.status();
    const host = hostPid === null ? null : residentBytes(hostPid);
    return host === null ? [api] : [api, [{ process: 'host' }, host]];
  }

  private takeLag(): [{ quantile: string }, number][] {
    const samples = lagQuantiles.map((quantile): [{ quantile: string }, number] => [
      { quantile: String(quantile) },
      // The timer's own period is no lag.
      Math.max(0, this.lag.percentile(quantile * 100) / 1e9 - lagResolutionMs / 1000),
    ]);
    this.lag.reset();
    return samples;
  }

  private build({ model }: EngineStatus): Record<string, string> {
    const { version } = this.software;
    const ofModel = {
      libtorch: model?.libtorch ?? '',
      model_class: model?.class ?? '',
      dtype: model?.dtype ?? '',
      device: model?.device.name ?? '',
    };
    return { version, node: process.versions.node, ...ofModel };
  }
}

/** No sample while there is no engine. */
function ofDevice({ model, stats }: EngineStatus, field: keyof DeviceStats): [{ device: string }, number][] {
  return model && stats ? [[{ device: model.device.id }, stats[field]]] : [];
}

/** Null: the process has ended. */
function residentBytes(pid: number): number | null {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kibibytes === undefined ? null : Number(kibibytes) * 1024;
  } catch {
    return null;
  }
}
