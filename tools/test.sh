#!/usr/bin/env bash
# Runs the fast tests; with --slow the slow ones. Makes .venv if needed. Real photographs: set MONKEYS_DATA.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup.sh

case "${1:-}" in
    "") marks="not slow" ;;
    --slow) marks="slow" ;;
    *) fail "usage: bash tools/test.sh [--slow]" ;;
esac
set_up requirements-dev.txt
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
cores=$(.venv/bin/python -c 'from monkeys.runtime import usable_cores; print(usable_cores())')
exec .venv/bin/python -m pytest -m "$marks" -n "$cores" --dist loadfile --durations=15
