#!/usr/bin/env bash
# npm run bench: see `npm run bench -- --help`. Python is only used for the comparison with diffusers.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

"$root/scripts/setup.sh" test
for argument in "$@"; do
    case $argument in
        --compare-diffusers | --real-geometry)
            if ! "$root/.venv-reference/bin/python" -c 'import diffusers' 2>/dev/null; then
                say 'installing diffusers into .venv-reference (once) …'
                python3 -m venv "$root/.venv-reference"
                logged reference "$root/.venv-reference/bin/pip" install --requirement "$root/test/golden/requirements.txt"
            fi
            ;;
    esac
done
exec node "$root/test/bench/bench.mjs" "$@"
