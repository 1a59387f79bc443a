#!/usr/bin/env bash
# The native tests under AddressSanitizer and UndefinedBehaviorSanitizer.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

generator=()
! command -v ninja >/dev/null || generator=(-G Ninja)
launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    export CCACHE_SLOPPINESS=pch_defines,time_macros
fi
cmake -S "$root" -B "$root/build/asan" "${generator[@]}" "${launcher[@]}" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DLIBTORCH_DIR="${LIBTORCH_DIR:-$root/.libtorch/torch}" -DQWEN_TESTS=ON -DSANITIZE=address,undefined >&2
cmake --build "$root/build/asan" --parallel 2 >&2
exec ctest --test-dir "$root/build/asan" --output-on-failure --no-tests=error
