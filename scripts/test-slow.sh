#!/usr/bin/env bash
# Soak, memory over mixed jobs and changes of the model, long fault runs, generated requests and sanitizers; QWEN_SLOW=short (used by CI) or full (the default) chooses how long they take.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
run_name=test-slow
source "$root/scripts/parts.sh"

export QWEN_SLOW=${QWEN_SLOW:-full}
[[ $QWEN_SLOW =~ ^(short|full)$ ]] || die "QWEN_SLOW=$QWEN_SLOW: unknown; short or full"

check set-up "$root/scripts/setup.sh" test
jest_tests slow --selectProjects slow --runInBand
native_tests sanitizers "$root/scripts/test-asan.sh"
sum_up
