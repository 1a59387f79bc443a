#!/usr/bin/env bash
# The service under random faults: hosts killed, clients that leave, two restarts; prints the ledger as a table.
# QWEN_SLOW=short (150 jobs) or full (600, the default); QWEN_FAULT_SEED=N repeats a run.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
run_name=test-fault
source "$root/scripts/parts.sh"

check set-up "$root/scripts/setup.sh" test
jest_tests fault --selectProjects slow --runInBand test/fault
sum_up
