import { refusalOf, StorageRefusal } from './storage-limit.js';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: no such luck, mkdir '/srv/jobs/1'`), { code });
}

describe(refusalOf, () => {
  it.each([
    ['ENOSPC', "the server's disk is full"],
    ['EDQUOT', "the server's disk is full"],
    ['ENOENT', "the server's folder for jobs is not there"],
    ['ENOTDIR', "the server's folder for jobs is not there"],
    ['EIO', "the server's disk takes no files"],
    ['EROFS', "the server's disk takes no files"],
    ['EACCES', "the server's disk takes no files"],
    ['EPERM', "the server's disk takes no files"],
    ['ESTALE', "the server's disk takes no files"],
    ['ENOTCONN', "the server's disk takes no files"],
  ])('takes %s for a disk that is to blame, and keeps the path for the log', (code, message) => {
    const refusal = refusalOf(systemError(code)) as StorageRefusal;
    expect(refusal).toBeInstanceOf(StorageRefusal);
    expect(refusal.message).toBe(message);
    expect(refusal.forLog).toContain(`${code}: no such luck, mkdir '/srv/jobs/1'`);
    expect(refusal.toServiceError()).toMatchObject({ code: 'STORAGE_FULL', message: `the job was not accepted: ${message}` });
  });

  it.each(['EEXIST', 'ELOOP', 'EMFILE'])('leaves %s as it is: that says nothing of the disk', (code) => {
    const error = systemError(code);
    expect(refusalOf(error)).toBe(error);
  });
});
