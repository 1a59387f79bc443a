import { Logger } from '@nestjs/common';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { completed, jobRecord, withInputs } from '../../../../test/fixtures/job-record.js';
import type { JobRecord } from '../job.types.js';
import { FileJobStore } from './file.job-store.js';

// A file system that promises no more than it must: names and contents reach the disk apart, and late.
const lazy = 'loop,noauto_da_alloc,data=writeback,commit=300';
const durable = { durable: true };
const quick = { durable: false };
const input = Buffer.alloc(100_000, 1);
const image = Buffer.alloc(50_000, 2);

function makeDisk(path: string): void {
  writeFileSync(path, Buffer.alloc(48 * 1024 * 1024));
  execFileSync('mkfs.ext4', ['-q', path]);
}

function mayMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-mount-'));
  try {
    makeDisk(join(folder, 'disk'));
    mkdirSync(join(folder, 'mounted'));
    const { status } = spawnSync('mount', ['-o', lazy, join(folder, 'disk'), join(folder, 'mounted')]);
    if (status === 0) execFileSync('umount', [join(folder, 'mounted')]);
    return status === 0;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const withDisk = mayMount() ? describe : describe.skip;
if (withDisk === describe.skip) process.stderr.write('not tested: a power cut (needs mkfs.ext4 and a user who may mount)\n');

withDisk('FileJobStore after a power cut', () => {
  let folder: string;
  let store: FileJobStore;
  let mounts: string[];

  beforeAll(() => void Logger.overrideLogger(false));
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'qwen-power-'));
    mounts = [];
    makeDisk(join(folder, 'disk'));
    [store] = await openOn('disk');
  });
  afterEach(() => {
    for (const mounted of mounts) execFileSync('umount', [mounted]);
    rmSync(folder, { recursive: true });
  });

  async function openOn(disk: string): Promise<[FileJobStore, JobRecord[]]> {
    const mounted = join(folder, `${disk}-mounted`);
    mkdirSync(mounted);
    execFileSync('mount', ['-o', lazy, join(folder, disk), mounted]);
    mounts.push(mounted);
    // Below folders that the store makes: their names must last too.
    const opened = new FileJobStore({ directory: join(mounted, 'data', 'jobs'), maxBytes: Infinity });
    return [opened, await opened.open()];
  }

  /** What the disk has got until now is all that is left: the next server reads a copy of it. */
  async function cutPower(check: (next: FileJobStore, found: JobRecord[]) => Promise<void>): Promise<void> {
    copyFileSync(join(folder, 'disk'), join(folder, 'copy'));
    await store.close();
    const [next, found] = await openOn('copy');
    try {
      await check(next, found);
    } finally {
      await next.close();
    }
  }

  async function create(options = durable): Promise<JobRecord> {
    const record = withInputs(jobRecord(), [input]);
    await store.create(record, [input], { ...options, reserveBytes: 0 });
    return record;
  }

  it('has a job that was just acknowledged', async () => {
    const record = await create();
    await cutPower(async (next, found) => {
      expect(found).toEqual([record]);
      expect((await next.readInput(record.id, 0)).equals(input)).toBe(true);
    });
  });

  it('has the attempt that was counted before a run', async () => {
    const record = await create();
    await store.save({ ...record, attempt: 1 }, durable);
    await cutPower((_, found) => {
      expect(found).toMatchObject([{ id: record.id, attempt: 1 }]);
      return Promise.resolve();
    });
  });

  it('has the end of a job with its pictures', async () => {
    const record = await create();
    await store.finish(completed(record, [image]), [image], durable);
    await cutPower(async (next, found) => {
      expect(found).toEqual([completed(record, [image])]);
      expect((await next.readImage(record.id, 0)).equals(image)).toBe(true);
    });
  });

  it('has a job, old or new, that was changed without waiting since', async () => {
    const saved = await create();
    await store.save({ ...saved, attempt: 1 }, quick);
    const finished = await create();
    await store.finish(completed(finished, [image]), [image], quick);
    // The file system writes down the names of the changes before with this one.
    const last = await create();
    await cutPower((_, found) => {
      expect(found.map(({ id }) => id).sort()).toEqual([saved.id, finished.id, last.id].sort());
      return Promise.resolve();
    });
  });

  it('has all of a job that was waited for only later', async () => {
    const record = await create(quick);
    await store.save({ ...record, attempt: 1 }, durable);
    await cutPower(async (next, found) => {
      expect(found).toMatchObject([{ id: record.id, attempt: 1 }]);
      expect((await next.readInput(record.id, 0)).equals(input)).toBe(true);
    });
  });
});
