import { Logger } from '@nestjs/common';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { StoreProcess } from '../../../../test/fixtures/store-process.js';
import type { JobRecord } from '../job.types.js';
import { FileJobStore } from './file.job-store.js';

const kills = 30;
/** Until one has come between the steps of a change, which is chance; about every third does on an idle machine. */
const mostKills = 10 * kills;
/** Servers at the same time, each with its own folder: one starts while another writes. */
const atOnce = 3;

const allEqual = (bytes: Buffer, value: number): boolean => bytes.every((byte) => byte === value);

describe('FileJobStore after a server that was killed while it wrote', () => {
  /** How many jobs were found in each state: all must have come to pass. */
  const seen = { queued: 0, running: 0, completed: 0 };
  let leftovers = 0;

  beforeAll(() => void Logger.overrideLogger(false));

  it('has every job that was acknowledged, whole, and nothing half', async () => {
    let begun = 0;
    const killRest = async (): Promise<void> => {
      while (begun < kills || (leftovers === 0 && begun < mostKills)) {
        begun += 1;
        await killOne();
      }
    };
    await Promise.all(Array.from({ length: atOnce }, killRest));
    expect(seen.completed).toBeGreaterThan(kills);
    expect(seen.queued + seen.running).toBeGreaterThan(kills / 2);
    // Kills did come between the steps of a change.
    expect(leftovers).toBeGreaterThan(0);
  }, 600_000);

  async function killOne(): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), 'qwen-killed-'));
    const server = new StoreProcess(directory, 'write');
    await server.line('finished');
    await wait(Math.random() * 150);
    await server.kill();
    leftovers += readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tmp')).length;
    const store = new FileJobStore({ directory, maxBytes: Infinity });
    const records = new Map((await store.open()).map((record) => [record.id, record]));
    checkAcknowledged(server.lines, records);
    for (const record of records.values()) await checkWhole(store, record);
    expect(existsSync(join(directory, 'corrupt'))).toBe(false);
    expect(readdirSync(directory).sort()).toEqual([...records.keys(), 'lock'].sort());
    await store.close();
    rmSync(directory, { recursive: true });
  }

  function checkAcknowledged(lines: readonly string[], records: ReadonlyMap<string, JobRecord>): void {
    const told = (word: string): string[] =>
      lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.split(' ')[1] ?? '');
    const removing = new Set(told('removing'));
    const kept = (word: string): (JobRecord | undefined)[] =>
      told(word)
        .filter((id) => !removing.has(id))
        .map((id) => records.get(id));
    expect(kept('created')).not.toContain(undefined);
    expect(kept('saved').filter((record) => record?.attempt !== 1)).toEqual([]);
    expect(kept('finished').filter((record) => record?.state !== 'completed')).toEqual([]);
    expect(told('removed').filter((id) => records.has(id))).toEqual([]);
  }

  /** As job-store-process.ts makes them. */
  async function checkWhole(store: FileJobStore, record: JobRecord): Promise<void> {
    const { id, state } = record;
    seen[state as keyof typeof seen] += 1;
    if (state === 'completed') {
      expect(allEqual(await store.readImage(id, 0), 3)).toBe(true);
      expect(await store.readImage(id, 1)).toEqual(Buffer.alloc(20, 4));
      expect(await store.readPreviews(id)).toHaveLength(1);
      await expect(store.readInput(id, 0)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    } else {
      for (const [index, length] of [200_000, 10].slice(0, record.request.inputs.length).entries()) {
        expect((await store.readInput(id, index)).equals(Buffer.alloc(length, index + 1))).toBe(true);
      }
      await expect(store.readImage(id, 0)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
    expect(await store.readRecord(id)).toEqual(record);
  }
});
