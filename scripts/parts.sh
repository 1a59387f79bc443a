# Parts of a test run: each runs to its end whatever became of the others; sourced after steps.sh, never run.

# Threads that wait by spinning starve each other beside any other busy process (docs/performance.md).
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}

results=$root/build/test-results/$run_name
rm -rf "$results"
mkdir -p "$results"

failed_whole() { printf '{"passed":0,"failed":1,"names":["%s"]}\n' "$1" >"$2"; }

# check NAME COMMAND...: something that passes or fails as a whole; it is counted only when it fails.
check() {
    local name=$1
    shift
    say "=== $name"
    "$@" && return
    say "=== $name FAILED"
    failed_whole "$name" "$results/$name.json"
}

# native_tests NAME COMMAND...: every GoogleTest case counts; a command that fails before a case does is one failure.
native_tests() {
    local name=$1
    shift
    say "=== $name"
    mkdir -p "$results/$name"
    GTEST_OUTPUT="json:$results/$name/" "$@" >&2 && return
    say "=== $name FAILED"
    grep -qs '"failures": [1-9]' "$results/$name"/*.json || failed_whole "$name" "$results/$name/died.json"
}

# jest_tests NAME ARGUMENT...: a run that writes no results is one failure.
jest_tests() {
    local name=$1
    shift
    say "=== jest: $name"
    (cd "$root" && node_modules/.bin/jest --json --outputFile "$results/jest-$name.json" "$@" >/dev/null) ||
        { say "=== jest: $name FAILED"; [ -f "$results/jest-$name.json" ] || failed_whole "jest $name" "$results/jest-$name.json"; }
}

# The last line of a run: N passed, N failed.
sum_up() {
    local files
    mapfile -d '' files < <(find "$results" -name '*.json' -print0)
    node "$root/scripts/sum-tests.mjs" --into "$results.json" "${files[@]}"
}
