import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StoreProcess } from '../../../../test/fixtures/store-process.js';
import { FileJobStore } from './file.job-store.js';
import { FolderLock } from './folder-lock.js';

describe(FolderLock.name, () => {
  let directory: string;
  let other: StoreProcess | null;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'qwen-lock-'));
    other = null;
  });
  afterEach(async () => {
    await other?.kill();
    rmSync(directory, { recursive: true });
  });

  it('keeps a second server out with one line that names the key, and lets it in when the first was killed', async () => {
    other = new StoreProcess(directory, 'hold');
    await other.line('open');
    const store = new FileJobStore({ directory, maxBytes: Infinity });
    await expect(store.open()).rejects.toThrow(`jobs.directory: ${directory} cannot be used: another server uses it`);
    await other.kill();
    await expect(store.open()).resolves.toEqual([]);
    await store.close();
  });

  it('is kept against another process', async () => {
    const store = new FileJobStore({ directory, maxBytes: Infinity });
    await store.open();
    other = new StoreProcess(directory, 'hold');
    expect(await other.line('open', 'error')).toBe(`error jobs.directory: ${directory} cannot be used: another server uses it`);
    await store.close();
  });

  it('is not kept by a child that outlives its killed owner', async () => {
    other = new StoreProcess(directory, 'parent');
    const childPid = Number((await other.line('child')).split(' ')[1]);
    await other.kill();
    try {
      FolderLock.take(directory).release();
      expect(process.kill(childPid, 0)).toBe(true);
    } finally {
      process.kill(childPid, 'SIGKILL');
    }
  });

  it('is free after release, which may come twice', () => {
    const lock = FolderLock.take(directory);
    expect(() => FolderLock.take(directory)).toThrow('another server uses it');
    lock.release();
    const next = FolderLock.take(directory);
    lock.release();
    expect(() => FolderLock.take(directory)).toThrow('another server uses it');
    next.release();
  });

  it('says that flock is missing', async () => {
    other = new StoreProcess(directory, 'hold', { path: '/nowhere' });
    expect(await other.line('open', 'error')).toBe(
      `error jobs.directory: ${directory} cannot be used: the command flock (util-linux) is not installed`,
    );
  });

  it('follows no link in the place of its file', () => {
    writeFileSync(join(directory, 'elsewhere'), '');
    symlinkSync(join(directory, 'elsewhere'), join(directory, 'lock'));
    expect(() => FolderLock.take(directory)).toThrow('ELOOP');
  });
});
