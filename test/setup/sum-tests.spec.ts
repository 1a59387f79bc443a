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
    expect(JSON.parse(readFileSync(join(folder, 'sum.json'), 'utf8'))).toEqual({ passed: 7, failed: 0, names: [] });
  });

  it('fails with a failed case, and with a suite that could not run', () => {
    expect(sum({ 'google.json': { ...googleRun, failures: 1 } })).toMatchObject({ status: 1, stdout: '1 passed, 1 failed\n' });
    expect(sum({ 'jest.json': { ...jestRun, numRuntimeErrorTestSuites: 1 } })).toMatchObject({
      status: 1,
      stdout: '5 passed, 1 failed\n',
    });
  });

  it('names what failed', () => {
    const suite = (name: string, status: string, assertionResults: object[]) => ({
      name: resolve(name),
      status,
      assertionResults,
    });
    const failing = {
      ...jestRun,
      numFailedTests: 1,
      numRuntimeErrorTestSuites: 1,
      testResults: [
        suite('a.spec.ts', 'failed', [
          { status: 'passed', fullName: 'works' },
          { status: 'failed', fullName: 'does not' },
        ]),
        suite('b.spec.ts', 'failed', []),
        suite('c.spec.ts', 'passed', [{ status: 'passed', fullName: 'works too' }]),
      ],
    };
    const google = {
      tests: 2,
      failures: 1,
      testsuites: [
        {
          testsuite: [
            { classname: 'Vae', name: 'Decodes', failures: [{}] },
            { classname: 'Vae', name: 'Encodes' },
          ],
        },
      ],
    };
    const { stdout } = sum({
      'jest.json': failing,
      'google.json': google,
      'whole.json': { passed: 0, failed: 1, names: ['lint'] },
    });
    expect(stdout.split('\n')).toEqual([
      'FAILED a.spec.ts: does not',
      'FAILED b.spec.ts: could not run',
      'FAILED Vae.Decodes',
      'FAILED lint',
      '6 passed, 4 failed',
      '',
    ]);
  });

  it('counts results that were never written as a failure', () => {
    expect(sum({ 'jest.json': jestRun }, join(folder, 'none.json'))).toMatchObject({
      status: 1,
      stdout: `FAILED ${join(folder, 'none.json')} was not written\n5 passed, 1 failed\n`,
    });
  });

  it('fails when nothing ran', () => {
    expect(sum({ 'jest.json': { ...jestRun, numPassedTests: 0 } })).toMatchObject({ status: 1, stdout: '0 passed, 0 failed\n' });
  });

  it('adds up earlier sums', () => {
    expect(sum({ 'a.json': { passed: 3, failed: 0 }, 'b.json': { passed: 4, failed: 0 } }).stdout).toBe('7 passed, 0 failed\n');
  });
});
