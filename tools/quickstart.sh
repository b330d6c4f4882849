#!/usr/bin/env bash
# From nothing to an examined ResNet-50 in less than ten minutes: sets up .venv, draws the sample set, explores it,
# trains, and evaluates on held-out pictures. May be repeated: it replaces only its own folders below quickstart/.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup.sh

set_up requirements.txt
export PATH="$PWD/.venv/bin:$PATH"

echo "1/4 drawing the sample set: ten invented species that differ in small traits"
python tools/prepare.py --synthetic --out quickstart/data
echo "2/4 exploring it"
python tools/explore.py quickstart/data --out quickstart/explore
echo "3/4 training ResNet-50"
python tools/train.py -c configs/quickstart.yaml --overwrite
echo "4/4 evaluating on the test split, which training has never seen"
python tools/eval.py quickstart/runs/quickstart --split test

cat <<'END'

Look at:
  quickstart/explore/explore.html                        what the pictures are
  quickstart/runs/quickstart/report.html                 how training went, and what the network confuses
  quickstart/runs/quickstart/eval-test/samples.png       predictions on pictures it had never seen
Next: your own photographs, one folder per class:
  .venv/bin/python tools/train.py -c configs/monkeys_cpu_15m.yaml -o data.root=FOLDER
END
