#!/usr/bin/env bash
# ESLint, Prettier and clang-format over everything; changes nothing. With --fix, writes what can be put right.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
cd "$root" || exit 1

clang_format_major=14 # versions lay code out differently; this one is the project's
failed=0
fix=false
[ "${1:-}" != --fix ] || fix=true

if "$fix"; then eslint=(--fix) prettier=--write clang=(-i); else eslint=() prettier=--check clang=(--dry-run --Werror); fi

node_modules/.bin/eslint --max-warnings 0 "${eslint[@]}" . || failed=1
node_modules/.bin/prettier --log-level warn "$prettier" . || failed=1

clang_format=$(command -v clang-format-$clang_format_major || command -v clang-format || true)
if [ -z "$clang_format" ] || ! "$clang_format" --version | grep -q "version $clang_format_major\."; then
    say "clang-format $clang_format_major is not here: the layout of native/ was not checked"
else
    git ls-files -z --cached --others --exclude-standard -- 'native/*.h' 'native/*.cpp' 'native/*.cu' |
        xargs -0 -r "$clang_format" "${clang[@]}" || failed=1
fi
exit $failed
