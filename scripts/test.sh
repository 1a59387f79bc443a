#!/usr/bin/env bash
# Everything that a change may break; the last line is `N passed, N failed`.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
run_name=test
source "$root/scripts/parts.sh"

check set-up "$root/scripts/setup.sh" test
check types "$root/node_modules/.bin/tsc" --noEmit --project "$root/tsconfig.json"
check lint "$root/scripts/lint.sh"
native_tests native ctest --test-dir "$root/build/native" --output-on-failure --no-tests=error
jest_tests unit --selectProjects unit
jest_tests addon --selectProjects addon --runInBand
jest_tests e2e --selectProjects e2e --runInBand
sum_up
