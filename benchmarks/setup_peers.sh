#!/usr/bin/env bash
# Makes .venv-bench, the environment of the peers that tools/bench.py measures against (several gigabytes).
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv-bench
.venv-bench/bin/python -m pip install --quiet -r benchmarks/peers.txt
