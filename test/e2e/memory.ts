import { readFileSync } from 'node:fs';

export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/** Without what is mapped from files, which comes and goes with the system's cache. */
export function anonymousBytes(pid: number): number {
  return statusBytes(pid, 'RssAnon');
}

export function addressSpaceBytes(pid: number): number {
  return statusBytes(pid, 'VmSize');
}

function statusBytes(pid: number, key: string): number {
  const [, kilobytes] = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  if (!kilobytes) throw new Error(`process ${pid} has no ${key}`);
  return Number(kilobytes) * 1024;
}

/** Slope of the least-squares line through (0, y0), (1, y1), … */
export function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2;
  const meanY = values.reduce((sum, value) => sum + value, 0) / values.length;
  let covariance = 0;
  let variance = 0;
  values.forEach((value, x) => {
    covariance += (x - meanX) * (value - meanY);
    variance += (x - meanX) ** 2;
  });
  return covariance / variance;
}
