# What the machine must have, and its installation; sourced after steps.sh, never run.
# The caller says what is going to be done: needs_libtorch, needs_native, needs_tests (true or false).

require_platform() {
    local glibc
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d ' ' -f 2) || true
    if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ] || [ -z "$glibc" ] || ! version_at_least "$glibc" 2.28; then
        die "qwen-image-server runs on Linux x86-64 with glibc 2.28 or newer; this is $(uname -s) $(uname -m), glibc ${glibc:-none}"
    fi
    version_at_least "$(node --version | tr -d v)" 20.19 || die "Node 20.19 or newer is needed; this is $(node --version)"
}

version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

has_cmake() { command -v cmake >/dev/null && version_at_least "$(cmake --version | awk 'NR == 1 { print $3 }')" 3.18; }

has_build_tool() { command -v ninja >/dev/null || command -v make >/dev/null; }

has_cxx20() { printf '#include <version>\nstatic_assert(__cplusplus >= 202002L);' | "${CXX:-c++}" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null; }

has_readelf() { command -v readelf >/dev/null; }

has_pip() { python3 -m pip --version >/dev/null 2>&1; }

has_gtest() { printf '#include <gtest/gtest.h>\nint main() { return testing::Test::HasFailure(); }' | "${CXX:-c++}" -x c++ - -o /dev/null -lgtest -lpthread 2>/dev/null; }

has_clang_format() { command -v clang-format >/dev/null; }

has_redis() { command -v redis-server >/dev/null; }

has_curl() { command -v curl >/dev/null; }

has_chromium() { [ -x /usr/bin/chromium ]; }

has_faketime() { [ -e /usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1 ]; }

# Debian's names of what is missing, by what the other steps are going to need.
missing_packages() {
    if "$needs_libtorch"; then
        has_pip || echo python3 python3-pip
        has_readelf || echo binutils
    fi
    if "$needs_libtorch" || "$needs_native"; then
        has_cmake || echo cmake
        has_cxx20 || echo g++
    fi
    if "$needs_native"; then has_build_tool || echo ninja-build; fi
    if "$needs_tests"; then
        has_gtest || echo libgtest-dev
        has_clang_format || echo clang-format
        has_redis || echo redis-server
        has_curl || echo curl
        has_chromium || echo chromium
        has_faketime || echo faketime
    fi
}

system_is_current() { [ -z "$(missing_packages)" ]; }

install_packages() {
    local packages
    packages=$(missing_packages | tr '\n' ' ')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "missing: $packages"
        say "to install them, type: sudo apt-get install -y --no-install-recommends $packages"
        return 1
    fi
    say "      apt-get install $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # one argument a package
    logged apt-update apt-get update && logged apt-install apt-get install -y --no-install-recommends $packages || return 1
    packages=$(missing_packages | tr '\n' ' ')
    [ -z "$packages" ] || { say "still missing or too old after the installation: $packages"; return 1; }
}
