#!/usr/bin/env bash
# Makes a clone ready to run: scripts/setup.sh [run|test|help]
#   run    what `npm start` needs (the default)
#   test   also the native tests and tools, and what checks the files of deploy/
#   help   only what `npm start -- --help` needs: npm dependencies and the TypeScript build
# LIBTORCH_DIR, LIBTORCH_VARIANT and LIBTORCH_CPU_INDEX: see docs/setup.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
source "$root/scripts/system-packages.sh"

purpose=${1:-run}

# Two set-ups in one folder would build into each other.
exec 9>"$state/lock"
flock --nonblock 9 || { say 'another set-up is running in this folder: waiting for it'; flock 9; }

# --- npm dependencies ------------------------------------------------------------------------------------------------

npm_is_current() { node "$root/scripts/npm-current.mjs"; }

install_npm() { (cd "$root" && logged npm npm ci --include=dev --no-fund --no-audit); }

# --- libtorch --------------------------------------------------------------------------------------------------------

libtorch_dir=$(realpath --canonicalize-missing --no-symlinks "${LIBTORCH_DIR:-$root/.libtorch/torch}")

libtorch_key() {
    if [ -n "${LIBTORCH_DIR:-}" ]; then
        stat -L -c '%n %s %Y' "$libtorch_dir/lib/libtorch_cpu.so" "$libtorch_dir/include/torch/headeronly/version.h" 2>/dev/null || true
    else
        cat "$root/.libtorch/manifest.json" 2>/dev/null || true
    fi
}

libtorch_is_current() {
    if [ -n "${LIBTORCH_DIR:-}" ]; then
        [ -n "$(libtorch_key)" ] && stamp_is libtorch-dir "$(libtorch_key)"
    else
        node "$root/scripts/fetch-libtorch.mjs" --check
    fi
}

get_libtorch() {
    if [ -z "${LIBTORCH_DIR:-}" ]; then
        node "$root/scripts/fetch-libtorch.mjs"
        return
    fi
    [ -f "$libtorch_dir/lib/libtorch_cpu.so" ] && [ -d "$libtorch_dir/include/ATen" ] ||
        { say "LIBTORCH_DIR=$libtorch_dir does not hold lib/libtorch_cpu.so and include/ATen"; return 1; }
    node "$root/scripts/fetch-libtorch.mjs" --try "$libtorch_dir" && stamp libtorch-dir "$(libtorch_key)"
}

libtorch_name() {
    if [ -n "${LIBTORCH_DIR:-}" ]; then
        echo "from LIBTORCH_DIR=$LIBTORCH_DIR"
    else
        node "$root/scripts/fetch-libtorch.mjs" --variant
    fi
}

# --- native engine ---------------------------------------------------------------------------------------------------

native_key() {
    (cd "$root" && find CMakeLists.txt native -type f \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cmake' -o -name CMakeLists.txt \)
        printf '%s\n' scripts/build-native.sh node_modules/{cmake-js,node-addon-api,node-api-headers}/package.json) |
        content_key "$libtorch_dir" "$(libtorch_key)" "${CC:-}" "${CXX:-}" "${CUDACXX:-}"
}

native_is_current() { [ -f "$root/build/native/qwen_image.node" ] && stamp_is "native-$native_scope" "$(native_key)"; }

# The key is taken before the build: a source that is changed meanwhile is built again the next time.
build_native() {
    local key
    key=$(native_key)
    LIBTORCH_DIR=$libtorch_dir logged native "$root/scripts/build-native.sh" "$native_scope" || return 1
    stamp native-addon "$key"
    stamp "native-$native_scope" "$key"
}

# --- TypeScript ------------------------------------------------------------------------------------------------------

ts_key() {
    (cd "$root" && find apps libs -type f \( -name '*.ts' -o -name 'tsconfig*.json' \) ! -name '*.spec.ts'
        printf '%s\n' tsconfig.json nest-cli.json package-lock.json) | content_key
}

ts_is_built() { [ -f "$root/dist/apps/api/src/main.js" ] && [ -f "$root/dist/apps/engine-host/src/main.js" ]; }

ts_is_current() { ts_is_built && stamp_is ts "$(ts_key)"; }

build_ts() {
    local key
    key=$(ts_key)
    rm -rf "$root/dist"
    (cd "$root" && logged ts npm run build:ts) && ts_is_built && stamp ts "$key"
}

# --- tools that check deploy/ ----------------------------------------------------------------------------------------

deploy_tools=$root/build/deploy-tools

deploy_tools_key() { { cat "$root/test/deploy/requirements.txt"; python3 --version; } 2>/dev/null | sha256sum; }

deploy_tools_are_current() { [ -d "$deploy_tools" ] && stamp_is deploy-tools "$(deploy_tools_key)"; }

# Into a folder of their own; wheels only, so that nothing is built and no installation script runs.
install_deploy_tools() {
    rm -rf "$deploy_tools"
    logged deploy-tools python3 -m pip install --no-cache-dir --no-deps --only-binary :all: --target "$deploy_tools" \
        --requirement "$root/test/deploy/requirements.txt" || return 1
    stamp deploy-tools "$(deploy_tools_key)"
}

# --- the steps -------------------------------------------------------------------------------------------------------

require_platform
needs_tests=false native_scope=addon step_total=5
case $purpose in
    help) step_total=2 ;;
    run) ;;
    test) needs_tests=true native_scope=tests step_total=6 ;;
    *) die "scripts/setup.sh $purpose: unknown; run, test or help" ;;
esac

if [ "$purpose" = help ]; then
    step 'npm dependencies' npm_is_current install_npm
    step 'TypeScript build' ts_is_current build_ts
    exit 0
fi

# A variant that there is not ends here, before anything is installed.
libtorch_label=$(libtorch_name)
needs_libtorch=false needs_native=false needs_pip=false
libtorch_is_current || needs_libtorch=true
! "$needs_libtorch" && npm_is_current && native_is_current || needs_native=true

! "$needs_tests" || deploy_tools_are_current || needs_pip=true

step 'system packages' system_is_current install_packages
step 'npm dependencies' npm_is_current install_npm
step "libtorch ($libtorch_label)" libtorch_is_current get_libtorch
step 'native engine (some minutes the first time)' native_is_current build_native
step 'TypeScript build' ts_is_current build_ts
! "$needs_tests" || step 'deployment tools' deploy_tools_are_current install_deploy_tools
