#!/usr/bin/env bash
# 20,000 generated requests, other ones each time (QWEN_SLOW=short: always the same 1,500); QWEN_FUZZ_COUNT, QWEN_FUZZ_SEED and QWEN_FUZZ_PATH (a counterexample's own) choose others.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000} # docs/performance.md
"$root/scripts/setup.sh" test
cd "$root"
exec node_modules/.bin/jest --selectProjects slow --runInBand --testPathPatterns test/fuzz
