"""What each change of a recipe is worth: every row of a study trained with several seeds, mean ± deviation over them.

    python benchmarks/study.py benchmarks/studies/regularisation.yaml --data data/monkeys --out runs/regularisation

A study names a configuration and, row by row, the overrides that differ from it; `always:` are those of all rows,
`seed:` is the setting that its seeds are of (run.seed), and `tta: true` also examines every run's last weights with
test-time augmentation. Repeated, it goes on where it stopped: inside a run by its checkpoint, between runs by the
record, a CSV file with a line per finished run (OUT/study.csv, or --record FILE, which may outlive the runs). Accuracy
is that of the last epoch, so that nothing is chosen on the images it is measured on; the gain is that over the first
row with the same seed. Seconds are those of training, without validation and checkpoints. `--jobs 2` trains two runs at
a time with one thread each. OUT/study.md has a line per row. A row that is changed wants another OUT and record.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monkeys.cli import train_command

EVAL = Path(__file__).resolve().parents[1] / "tools" / "eval.py"
TTA = ", test-time augmentation"
FIELDS = ("row", "seed", "top1", "loss", "best", "seconds")
Record = dict[tuple[str, int], dict[str, float]]  # (row, seed) -> figures


def arguments() -> argparse.Namespace:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("study", type=Path)
    parse.add_argument("--data", type=Path, required=True, help="folder of the photographs")
    parse.add_argument("--out", type=Path, required=True, help="folder of the runs and of the table")
    parse.add_argument("--record", type=Path, help="CSV file of finished runs (OUT/study.csv)")
    parse.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parse.add_argument("--only", nargs="*", default=[], help="rows to train, by name; the others are only read")
    return parse.parse_args()


def main() -> int:
    args = arguments()
    study = yaml.safe_load(args.study.read_text(encoding="utf-8"))
    record_file = args.record or args.out / "study.csv"
    record = read_record(record_file)
    unknown = sorted(set(args.only) - study["rows"].keys())
    if unknown:
        print(f"{args.study} has no row {unknown[0]!r}; its rows: {', '.join(study['rows'])}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = [row for row in study["rows"] if not args.only or row in args.only]
    last = TTA if study.get("tta", False) else ""  # the figure of a run that comes last
    jobs = [(row, seed) for seed in study["seeds"] for row in chosen if (row + last, seed) not in record]
    if args.jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"

    failed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for found in pool.map(lambda job: train(study, *job, args.data, args.out), jobs):
            failed += not found
            record |= found
            write_record(record_file, record)
    (args.out / "study.md").write_text(table(study, record), encoding="utf-8")
    print(table(study, record))
    return 1 if failed else 0


def train(study: dict, row: str, seed: int, data: Path, out: Path) -> Record:
    """Train one row with one seed, or go on with it; its figures, none where it failed."""
    run = out / re.sub(r"[^\w.-]+", "_", f"{row}-{seed}")  # what a run's name may be
    own = [f"run.dir={out}", f"run.name={run.name}", f"{study.get('seed', 'run.seed')}={seed}"]
    overrides = [f"data.root={data}", *overrides_of(study, row), *own]  # a row may have photographs of its own
    examined = study.get("tta", False)
    commands = [train_command(["-c", study["config"], "--resume", "auto", "-o", *overrides])]
    if examined:
        commands.append([sys.executable, str(EVAL), str(run), "--weights", "last", "--tta"])
    for command in commands:
        with (out / f"{run.name}.log").open("a") as log:
            code = subprocess.run(command, stdout=log, stderr=log).returncode
        if code:
            print(f"{run.name}: exit code {code}", flush=True)
            return {}
    print(f"{run.name}: done", flush=True)
    return {(row, seed): last_epoch(run)} | ({(row + TTA, seed): with_tta(run)} if examined else {})


def overrides_of(study: dict, row: str) -> list[str]:
    """What a row sets, after what all rows set."""
    return [*study.get("always", []), *study["rows"][row]]


def with_tta(run: Path) -> dict[str, float]:
    """Accuracy of the last weights with test-time augmentation.

    No best epoch, and no loss: that of an evaluation is calibrated, by a temperature fitted to the same photographs.
    """
    metrics = json.loads((run / "eval-val-last-tta" / "metrics.json").read_text(encoding="utf-8"))
    return {"top1": metrics["top1"], "loss": math.nan, "best": math.nan, "seconds": math.nan}


def last_epoch(run: Path) -> dict[str, float]:
    """Validation figures of the last line of history.csv, the best accuracy, and the seconds of all lines."""
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return {
        "top1": float(lines[-1]["val_top1"]),
        "loss": float(lines[-1]["val_loss"]),
        "best": max(float(line["val_top1"]) for line in lines),
        "seconds": sum(float(line["seconds"]) for line in lines),
    }


def read_record(path: Path) -> Record:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (line["row"], int(line["seed"])): {key: float(line[key]) for key in FIELDS[2:]}
            for line in csv.DictReader(file)
        }


def write_record(path: Path, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [[row, seed, *figures.values()] for (row, seed), figures in sorted(record.items())]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([FIELDS, *lines])


def table(study: dict, record: Record) -> str:
    """A line per row that has a run, in the order of the study; gains in points over the first row, seed by seed."""
    first = next(iter(study["rows"]))
    lines = ["| row | top-1, last epoch | against the first row | loss | seeds | overrides |", "|" + " --- |" * 6]
    rows = {row + suffix: overrides for row, overrides in study["rows"].items() for suffix in ("", TTA)}
    for row, overrides in rows.items():
        runs = {seed: figures for (name, seed), figures in record.items() if name == row}
        if runs:
            gains = [
                figures["top1"] - record[first, seed]["top1"]
                for seed, figures in runs.items()
                if row != first and (first, seed) in record
            ]
            gain = spread(gains, "+.1f") if gains else ""
            top1 = spread([figures["top1"] for figures in runs.values()], ".1f")
            mean = statistics.fmean(figures["loss"] for figures in runs.values())
            loss = "–" if math.isnan(mean) else f"{mean:.3f}"
            shown = " ".join(f"`{text}`" for text in overrides) or "–"
            lines.append(f"| {row} | {top1} % | {gain} | {loss} | {len(runs)} | {shown} |")
    return "\n".join(lines) + "\n"


def spread(shares: list[float], style: str) -> str:
    """Mean ± standard deviation in hundredths."""
    deviation = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):{style}}{deviation}"


if __name__ == "__main__":
    sys.exit(main())
