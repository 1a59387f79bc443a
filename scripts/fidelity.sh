#!/usr/bin/env bash
# npm run fidelity: the measured differences to the recorded outputs of diffusers, as Markdown.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
"$root/scripts/setup.sh" test
exec "$root/build/native/fidelity"
