// Adds up result files: Jest's --json, GoogleTest's --gtest_output=json, or what --into wrote: {"passed","failed","names"}.
//   node scripts/sum-tests.mjs [--into FILE] RESULT...
// Prints a line for each failure, then `N passed, N failed`; exits 1 when something failed or nothing passed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

function fromGoogleTest({ tests, failures, testsuites, disabled = 0 }) {
  const cases = testsuites.flatMap((suite) => suite.testsuite);
  const skipped = cases.filter((test) => test.result === 'SKIPPED').length;
  const names = cases.filter((test) => test.failures?.length > 0).map((test) => `${test.classname}.${test.name}`);
  return { passed: tests - failures - disabled - skipped, failed: failures, names };
}

function fromJest({ numPassedTests, numFailedTests, numRuntimeErrorTestSuites, testResults = [] }) {
  const names = testResults.flatMap(({ name, status, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === 'failed').map((test) => test.fullName);
    // A suite that could not run has no cases.
    const what = failed.length === 0 && status === 'failed' ? ['could not run'] : failed;
    return what.map((title) => `${path.relative(process.cwd(), name)}: ${title}`);
  });
  return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites, names };
}

function read(file) {
  if (!existsSync(file)) return { passed: 0, failed: 1, names: [`${file} was not written`] };
  const result = JSON.parse(readFileSync(file, 'utf8'));
  if ('numPassedTests' in result) return fromJest(result);
  if ('testsuites' in result) return fromGoogleTest(result);
  return result;
}

const files = process.argv.slice(2);
const sumFile = files[0] === '--into' ? files.splice(0, 2)[1] : undefined;
const total = files.map(read).reduce(
  (sum, { passed, failed, names = [] }) => ({
    passed: sum.passed + passed,
    failed: sum.failed + failed,
    names: [...sum.names, ...names],
  }),
  { passed: 0, failed: 0, names: [] },
);
if (sumFile) writeFileSync(sumFile, `${JSON.stringify(total)}\n`);
for (const name of total.names) console.log(`FAILED ${name}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
