#!/usr/bin/env bash
# npm run demo:sheet: see `npm run demo:sheet -- --help`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

"$root/scripts/setup.sh" run
exec node "$root/scripts/demo-sheet.mjs" "$@"
