import { type Logger } from '@nestjs/common';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { completed, jobRecord, withInputs } from '../../../../test/fixtures/job-record.js';
import { mayMount } from '../../../../test/fixtures/may-mount.js';
import type { JobRecord } from '../job.types.js';
import { FileJobStore } from './file.job-store.js';

const megabyte = 1_000_000;
const durable = { durable: true };
const input = Buffer.alloc(1000, 1);

const withDisk = mayMount() ? describe : describe.skip;
if (withDisk === describe.skip) process.stderr.write('not tested: a full disk (this user may not mount a tmpfs; root may)\n');

withDisk('FileJobStore on a small disk', () => {
  let directory: string;
  let store: FileJobStore;
  const warnings: string[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'qwen-disk-'));
    warnings.length = 0;
  });
  afterEach(async () => {
    await store.close();
    execFileSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  });

  async function openOn(options: string): Promise<void> {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `mode=700,${options}`, 'tmpfs', directory]);
    const log = { log() {}, error() {}, warn: (message: string) => warnings.push(message) };
    store = new FileJobStore({ directory, maxBytes: Infinity }, log as unknown as Logger);
    await store.open();
  }

  async function create(reserveBytes: number, inputs = [input]): Promise<JobRecord> {
    const record = withInputs(jobRecord(), inputs);
    await store.create(record, inputs, { durable: true, reserveBytes });
    return record;
  }

  /** Takes what is left of the disk. */
  function fill(): string {
    const path = join(directory, 'filler');
    spawnSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=4096', 'count=100000']);
    return path;
  }

  async function refusal(reserveBytes: number, inputs = [input]): Promise<string> {
    const error: unknown = await create(reserveBytes, inputs).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'ServiceError', code: 'STORAGE_FULL' });
    const { message } = error as Error;
    expect(message).not.toContain(directory);
    expect(message).not.toContain('/');
    expect(warnings.at(-1)).toContain(`a job was not stored in ${directory}: `);
    return message;
  }

  it('refuses what would not fit with all that is promised already, before it writes', async () => {
    await openOn('size=20m');
    const first = await create(8 * megabyte);
    expect((await store.lookAtDisk()).refusal).toBeNull();
    expect(await refusal(8 * megabyte)).toContain("the server's disk has too little free space");
    expect(readdirSync(directory).sort()).toEqual([first.id, 'lock'].sort());
    await store.remove(first.id);
    expect(store.usedBytes()).toBe(0);
    await create(8 * megabyte);
  });

  it('gives the promised space back when the job has ended', async () => {
    await openOn('size=20m');
    const first = await create(8 * megabyte);
    await store.finish(completed(first, [input]), [input], durable);
    await create(8 * megabyte);
  });

  it('leaves nothing of a job when the disk is full in the middle of it', async () => {
    // The root, the lock, one folder, two files.
    await openOn('size=64m,nr_inodes=5');
    expect(await refusal(0, [input, input])).toContain("the server's disk is full");
    expect(warnings.at(-1)).toContain('ENOSPC');
    expect(readdirSync(directory)).toEqual(['lock']);
    expect(store.usedBytes()).toBe(0);
    const fits = await create(0, [input]);
    expect(await refusal(0, [])).toContain("the server's disk is full");
    await store.close();
    expect(await store.open()).toEqual([fits]);
  });

  it('keeps the job as it was when its end does not fit, and takes the end later', async () => {
    await openOn('size=20m');
    const record = await create(0);
    const used = store.usedBytes();
    const filler = fill();
    const images = [Buffer.alloc(megabyte, 2), input];
    const ended = completed(record, images);
    await expect(store.finish(ended, images, durable)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(readdirSync(join(directory, record.id)).sort()).toEqual(['input-0', 'job.json']);
    expect(await store.readRecord(record.id)).toEqual(record);
    expect(await store.readInput(record.id, 0)).toEqual(input);
    expect(store.usedBytes()).toBe(used);
    unlinkSync(filler);
    await store.finish(ended, images, durable);
    await store.close();
    expect(await store.open()).toEqual([ended]);
    expect(await store.readImage(record.id, 0)).toEqual(images[0]);
  });

  it('keeps the record as it was when a new one does not fit', async () => {
    await openOn('size=20m');
    const record = await create(0);
    const filler = fill();
    await expect(store.save({ ...record, attempt: 1 }, durable)).rejects.toMatchObject({ code: 'ENOSPC' });
    await expect(store.addPreview(record.id, { id: 1, name: 'preview', data: {} })).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(await store.readRecord(record.id)).toEqual(record);
    unlinkSync(filler);
    await store.save({ ...record, attempt: 2 }, durable);
    expect(await store.readRecord(record.id)).toMatchObject({ attempt: 2 });
  });

  it('ends a run whose pixels do not fit, and leaves nothing of them', async () => {
    await openOn('size=20m');
    const record = await create(0);
    const filler = fill();
    const pixels = Buffer.alloc(megabyte, 3);
    const use = jest.fn((path: string) => Promise.resolve(path));
    const error: unknown = await store.withPixelFile(record.id, pixels, use).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'ServiceError', code: 'STORAGE_FULL' });
    expect((error as Error).message).toBe("the picture cannot be handed to the engine: the server's disk is full");
    expect(warnings.at(-1)).toContain('ENOSPC');
    expect(use).not.toHaveBeenCalled();
    expect(readdirSync(join(directory, record.id)).sort()).toEqual(['input-0', 'job.json']);
    unlinkSync(filler);
    await expect(store.withPixelFile(record.id, pixels, use)).resolves.toContain(record.id);
  });

  it('says of a full disk what it tells a job', async () => {
    await openOn('size=20m');
    expect(await store.lookAtDisk()).toEqual({ free: expect.any(Number), refusal: null });
    const filler = fill();
    expect(await store.lookAtDisk()).toMatchObject({
      free: 0,
      refusal: { message: "the server's disk has too little free space" },
    });
    unlinkSync(filler);
    expect((await store.lookAtDisk()).refusal).toBeNull();
  });

  it('removes jobs from a full disk', async () => {
    await openOn('size=20m');
    const record = await create(0);
    fill();
    await store.remove(record.id);
    expect(readdirSync(directory).sort()).toEqual(['filler', 'lock']);
  });

  it('refuses jobs while the disk takes no writes', async () => {
    await openOn('size=20m');
    execFileSync('mount', ['--bind', directory, directory]);
    execFileSync('mount', ['-o', 'remount,bind,ro', directory]);
    try {
      expect(await refusal(0)).toContain("the server's disk takes no files");
      expect(warnings.at(-1)).toContain('EROFS');
      expect((await store.lookAtDisk()).refusal?.message).toBe("the server's disk takes no files");
    } finally {
      execFileSync('umount', [directory]);
    }
    await create(0);
  });

  it('says at the start that its folder takes no writes', async () => {
    await openOn('size=20m');
    await store.close();
    execFileSync('mount', ['-o', 'remount,ro', directory]);
    await expect(store.open()).rejects.toThrow(`jobs.directory: ${directory} cannot be used: EROFS`);
  });

  it('finds that a broken job cannot be put aside on a full disk, and starts', async () => {
    await openOn('size=64m,nr_inodes=4');
    const broken = jobRecord();
    mkdirSync(join(directory, broken.id));
    writeFileSync(join(directory, broken.id, 'job.json'), '');
    await store.close();
    expect(await store.open()).toEqual([]);
    expect(readdirSync(join(directory, broken.id))).toEqual(['job.json']);
  });
});
