import { type Logger } from '@nestjs/common';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobRecord } from '../../../../test/fixtures/job-record.js';
import { FileJobStore } from './file.job-store.js';

describe('FileJobStore whose folder is taken away while it is open', () => {
  let parent: string;
  let directory: string;
  let store: FileJobStore;
  const warnings: string[] = [];

  beforeEach(async () => {
    parent = mkdtempSync(join(tmpdir(), 'qwen-lost-'));
    directory = join(parent, 'jobs');
    warnings.length = 0;
    const log = { log() {}, error() {}, warn: (message: string) => warnings.push(message) };
    store = new FileJobStore({ directory, maxBytes: Infinity }, log as unknown as Logger);
    await store.open();
  });
  afterEach(async () => {
    await store.close();
    rmSync(parent, { recursive: true });
  });

  const create = (record = jobRecord()) => store.create(record, [], { durable: true, reserveBytes: 1000 });
  const remove = () => rmSync(directory, { recursive: true });

  it.each([
    ['ENOENT', () => {}],
    ['ENOTDIR', () => writeFileSync(directory, 'theirs')],
  ])('refuses jobs until it is there again, and shows its path to the log alone (%s)', async (reason, replace) => {
    remove();
    replace();
    const { free, refusal } = await store.lookAtDisk();
    expect([free, refusal?.message]).toEqual([null, "the server's folder for jobs is not there"]);
    await expect(create()).rejects.toMatchObject({
      name: 'ServiceError',
      code: 'STORAGE_FULL',
      message: "the job was not accepted: the server's folder for jobs is not there",
    });
    expect(warnings).toEqual([expect.stringMatching(`^a job was not stored in ${directory}: ${reason}`)]);
    expect(store.usedBytes()).toBe(0);
    rmSync(directory, { force: true });
    mkdirSync(directory);
    const record = jobRecord();
    expect((await store.lookAtDisk()).refusal).toBeNull();
    await create(record);
    expect(readdirSync(directory)).toEqual([record.id]);
  });

  it('says nothing of it when it is closed', async () => {
    await store.close();
    remove();
    expect(await store.lookAtDisk()).toEqual({ free: null, refusal: null });
  });
});
