import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const script = resolve(__dirname, '../../scripts/sum-tests.mjs');

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'qwen-sum-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function sum(results: Record<string, unknown>, ...more: string[]): { status: number | null; stdout: string } {
  const files = Object.entries(results).map(([name, content]) => {
    writeFileSync(join(folder, name), JSON.stringify(content));
    return join(folder, name);
  });
  return spawnSync(process.execPath, [script, '--into', join(folder, 'sum.json'), ...files, ...more], { encoding: 'utf8' });
}

const jestRun = { numPassedTests: 5, numFailedTests: 0, numRuntimeErrorTestSuites: 0 };
const googleRun = {
  tests: 4,
  failures: 0,
  disabled: 1,
  testsuites: [
    { testsuite: [{ result: 'COMPLETED' }, { result: 'COMPLETED' }, { result: 'SKIPPED' }, { result: 'SUPPRESSED' }] },
  ],
};

describe('sum-tests', () => {
  it('counts cases of both runners, and neither skipped nor disabled ones', () => {
    expect(sum({ 'jest.json': jestRun, 'google.json': googleRun })).toMatchObject({ status: 0, stdout: '7 passed, 0 failed\n' });
    expect(JSON.parse(readFileSync(join(folder, 'sum.json'), 'utf8'))).toEqual({ passed: 7, failed: 0 });
  });

  it('fails with a failed case, and with a suite that could not run', () => {
    expect(sum({ 'google.json': { ...googleRun, failures: 1 } })).toMatchObject({ status: 1, stdout: '1 passed, 1 failed\n' });
    expect(sum({ 'jest.json': { ...jestRun, numRuntimeErrorTestSuites: 1 } })).toMatchObject({
      status: 1,
      stdout: '5 passed, 1 failed\n',
    });
  });

  it('counts results that were never written as a failure', () => {
    expect(sum({ 'jest.json': jestRun }, join(folder, 'none.json'))).toMatchObject({ status: 1, stdout: '5 passed, 1 failed\n' });
  });

  it('fails when nothing ran', () => {
    expect(sum({ 'jest.json': { ...jestRun, numPassedTests: 0 } })).toMatchObject({ status: 1, stdout: '0 passed, 0 failed\n' });
  });

  it('adds up earlier sums', () => {
    expect(sum({ 'a.json': { passed: 3, failed: 0 }, 'b.json': { passed: 4, failed: 0 } }).stdout).toBe('7 passed, 0 failed\n');
  });
});
