#!/usr/bin/env bash
# Sets up what is missing, then becomes the server (exec: signals reach it, and its exit code is ours).
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

purpose=run
for argument in "$@"; do
    case $argument in --help | -h | --version | --print-config | --check) purpose=help ;; esac
done
"$scripts/setup.sh" "$purpose"
exec node "$scripts/../dist/apps/api/src/main.js" "$@"
