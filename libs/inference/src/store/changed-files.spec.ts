import { type Logger } from '@nestjs/common';
import { appendFileSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { completed, jobRecord, withInputs } from '../../../../test/fixtures/job-record.js';
import type { JobRecord } from '../job.types.js';
import { FileJobStore } from './file.job-store.js';

const input = Buffer.from('an uploaded picture');
const images = [Buffer.from('a finished picture'), Buffer.from('another one')];

describe('FileJobStore whose files somebody else changes', () => {
  let directory: string;
  let store: FileJobStore;
  let record: JobRecord;
  const warnings: string[] = [];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'qwen-changed-'));
    warnings.length = 0;
    await openStore();
    record = withInputs(jobRecord(), [input]);
    await store.create(record, [input], { durable: false, reserveBytes: 0 });
  });
  afterEach(async () => {
    await store.close();
    rmSync(directory, { recursive: true });
  });

  async function openStore(): Promise<void> {
    const log = { log() {}, error() {}, warn: (message: string) => warnings.push(message) };
    store = new FileJobStore({ directory, maxBytes: Infinity }, log as unknown as Logger);
    await store.open();
  }

  const pathOf = (name: string) => join(directory, record.id, name);
  const finish = () => store.finish(completed(record, images), images, { durable: false });

  it.each([
    ['this server', () => Promise.resolve()],
    [
      'the next one',
      async () => {
        await store.close();
        await openStore();
      },
    ],
  ])('gives no picture that is not as it was stored (%s)', async (_server, restart) => {
    await finish();
    await restart();
    truncateSync(pathOf('image-0'), 10);
    for (const read of [store.readImage(record.id, 0), store.openImage(record.id, 0)])
      await expect(read).rejects.toThrow(`${pathOf('image-0')}: 18 bytes were stored, 10 are there`);
    expect(await store.readImage(record.id, 1)).toEqual(images[1]);
    appendFileSync(pathOf('image-1'), 'x');
    await expect(store.readImage(record.id, 1)).rejects.toThrow(`${pathOf('image-1')}: 11 bytes were stored, 12 are there`);
  });

  it('gives no input that was cut: the client has sent it whole', async () => {
    truncateSync(pathOf('input-0'), 10);
    await expect(store.readInput(record.id, 0)).rejects.toThrow(`${pathOf('input-0')}: 19 bytes were stored, 10 are there`);
  });

  it('gives no record that was cut, and leaves such a preview out', async () => {
    await store.addPreview(record.id, { id: 1, name: 'preview', data: {} });
    await store.addPreview(record.id, { id: 2, name: 'preview', data: {} });
    truncateSync(pathOf('preview-1.json'), 10);
    expect((await store.readPreviews(record.id)).map(({ id }) => id)).toEqual([2]);
    expect(warnings).toEqual([expect.stringMatching(`^preview 1 of job ${record.id} cannot be read: `)]);
    truncateSync(pathOf('job.json'), 100);
    await expect(store.readRecord(record.id)).rejects.toThrow('100 bytes that are not JSON');
  });
});
