#!/usr/bin/env bash
# The native tests under AddressSanitizer and UndefinedBehaviorSanitizer.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

forget_other_configuration "$root/build/asan"
generator=()
! command -v ninja >/dev/null || generator=(-G Ninja)
cmake -S "$root" -B "$root/build/asan" "${generator[@]}" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DLIBTORCH_DIR="${LIBTORCH_DIR:-$root/.libtorch/torch}" -DQWEN_TESTS=ON -DSANITIZE=address,undefined >&2
cmake --build "$root/build/asan" --parallel 2 >&2
# Without it, undefined behaviour is a line in the log of a test that passes.
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
exec ctest --test-dir "$root/build/asan" --output-on-failure --no-tests=error
