# Progress lines and stamps for the set-up scripts; sourced, never run. Progress goes to stderr: stdout is the server's log.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$root/.setup
mkdir -p "$state"
step_number=0
step_total=0

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# step WHAT IS_CURRENT DO: one line when DO is not needed, else a line before and after it.
step() {
    local what=$1 is_current=$2 action=$3 started=${EPOCHREALTIME/[.,]/} tenths
    step_number=$((step_number + 1))
    local label="[$step_number/$step_total] $what …"
    if "$is_current"; then
        say "$label up to date"
        return
    fi
    say "$label"
    "$action" || die "$label failed"
    tenths=$(((${EPOCHREALTIME/[.,]/} - started) / 100000))
    say "$label done in $((tenths / 10)).$((tenths % 10)) s"
}

# The command's output goes to a log; its end is shown when the command fails.
logged() {
    local log=$state/$1.log
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        say "the whole output is in $log"
        return 1
    fi
}

# One hash for the content (and the names) of the files named on stdin, one a line, and of the arguments.
content_key() {
    { sort | (cd "$root" && xargs -r -d '\n' sha256sum); printf '%s\n' "$@"; } | sha256sum | cut -d ' ' -f 1
}

stamp_is() { [ -f "$state/$1.stamp" ] && [ "$(cat "$state/$1.stamp")" = "$2" ]; }

stamp() { printf '%s\n' "$2" >"$state/$1.stamp"; }

# CMake refuses a folder that was configured for a build tool which has come or gone since, or for the project's folder where it
# was before it was moved or copied. What ccache keeps lies elsewhere and stays.
forget_other_configuration() {
    local cache=$1/CMakeCache.txt generator='Unix Makefiles'
    [ -f "$cache" ] || return 0
    ! command -v ninja >/dev/null || generator=Ninja
    if ! grep -qx "CMAKE_GENERATOR:INTERNAL=$generator" "$cache" ||
        ! [ "$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")" -ef "$root" ] ||
        ! [ "$(sed -n 's/^CMAKE_CACHEFILE_DIR:INTERNAL=//p' "$cache")" -ef "$1" ]; then
        rm -rf "$cache" "$1/CMakeFiles"
    fi
}
