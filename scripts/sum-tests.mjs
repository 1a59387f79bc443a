// Adds up result files: Jest's --json, GoogleTest's --gtest_output=json, or {"passed","failed"} of an earlier sum.
//   node scripts/sum-tests.mjs [--into FILE] RESULT...
// Prints `N passed, N failed` as its last line; exits 1 when something failed or nothing passed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

function fromGoogleTest({ tests, failures, testsuites, disabled = 0 }) {
  const skipped = testsuites.flatMap((suite) => suite.testsuite).filter((test) => test.result === 'SKIPPED').length;
  return { passed: tests - failures - disabled - skipped, failed: failures };
}

function fromJest({ numPassedTests, numFailedTests, numRuntimeErrorTestSuites }) {
  return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
}

function read(file) {
  if (!existsSync(file)) return { passed: 0, failed: 1 }; // the run ended before it could write its results
  const result = JSON.parse(readFileSync(file, 'utf8'));
  if ('numPassedTests' in result) return fromJest(result);
  if ('testsuites' in result) return fromGoogleTest(result);
  return result;
}

const files = process.argv.slice(2);
const sumFile = files[0] === '--into' ? files.splice(0, 2)[1] : undefined;
const total = files
  .map(read)
  .reduce((sum, { passed, failed }) => ({ passed: sum.passed + passed, failed: sum.failed + failed }), { passed: 0, failed: 0 });
if (sumFile) writeFileSync(sumFile, `${JSON.stringify(total)}\n`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
