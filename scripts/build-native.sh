#!/usr/bin/env bash
# Builds the addon (build/native/qwen_image.node): scripts/build-native.sh [addon|tests]; `tests` adds the native tests and tools.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

# One compiler process may take 1.5 GB with libtorch's headers.
gigabytes=$(awk '/MemTotal/ { print int($2 / 1048576) }' /proc/meminfo)
jobs=$(nproc)
[ "$jobs" -le $((gigabytes / 2)) ] || jobs=$((gigabytes / 2 > 0 ? gigabytes / 2 : 1))

options=(--directory . --out build/native --CDLIBTORCH_DIR="${LIBTORCH_DIR:-$root/.libtorch/torch}")
target=()
case ${1:-addon} in
    addon) target=(--target qwen_image_addon) ;;
    tests) options+=(--CDQWEN_TESTS=ON --CDQWEN_TOOLS=ON) ;;
    *) die "scripts/build-native.sh $1: unknown; addon or tests" ;;
esac

cd "$root"
forget_other_configuration build/native
# `build` alone configures only an empty folder: other options than the last time would be ignored.
node_modules/.bin/cmake-js configure "${options[@]}"
exec node_modules/.bin/cmake-js build "${options[@]}" --parallel "$jobs" "${target[@]}"
