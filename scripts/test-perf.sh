#!/usr/bin/env bash
# npm run test:perf: see `npm run test:perf -- --help`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000} # docs/performance.md
"$root/scripts/setup.sh" test
exec node "$root/test/perf/perf.mjs" "$@"
