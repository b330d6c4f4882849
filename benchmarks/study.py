"""What each change of a recipe is worth: every row of a study trained with several seeds, mean ± deviation over them.

    python benchmarks/study.py benchmarks/studies/regularisation.yaml --data data/monkeys --out runs/regularisation

A study names a configuration and, row by row, the overrides that differ from it. Repeated, it goes on where it stopped.
Accuracy is that of the last epoch, so that nothing is chosen on the images it is measured on. `--jobs 2` trains two
runs at a time with one thread each. Writes study.csv (a line per run) and study.md (a line per row, with its command).
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monkeys.cli import train_command

Row = dict[str, list[str]]


def arguments() -> argparse.Namespace:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("study", type=Path)
    parse.add_argument("--data", type=Path, required=True, help="folder of the photographs")
    parse.add_argument("--out", type=Path, required=True, help="folder of the runs and of the tables")
    parse.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parse.add_argument("--only", nargs="*", default=[], help="rows to train; the others are only read")
    parse.add_argument("-o", dest="override", nargs="+", default=[], metavar="KEY=VALUE", help="for every row")
    return parse.parse_args()


def run_name(row: str, seed: int) -> str:
    return f"{row.replace(' ', '_')}-{seed}"


def last_epoch(run: Path) -> dict[str, float]:
    """Validation figures of the last line of history.csv, and the seconds of all lines."""
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    best = max(float(line["val_top1"]) for line in lines)
    seconds = sum(float(line["seconds"]) for line in lines)
    return {
        "top1": float(lines[-1]["val_top1"]),
        "loss": float(lines[-1]["val_loss"]),
        "best": best,
        "seconds": seconds,
    }


def main() -> int:
    args = arguments()
    study = yaml.safe_load(args.study.read_text(encoding="utf-8"))
    rows: Row = study["rows"]
    args.out.mkdir(parents=True, exist_ok=True)

    def train(job: tuple[str, int]) -> int:
        row, seed = job
        own = [f"data.root={args.data}", f"run.dir={args.out}", f"run.name={run_name(row, seed)}", f"run.seed={seed}"]
        overrides = [*study.get("common", []), *rows[row], *args.override, *own]
        command = train_command(["-c", study["config"], "--resume", "auto", "-o", *overrides])
        with (args.out / f"{run_name(row, seed)}.log").open("a") as log:
            return subprocess.run(command, stdout=log, stderr=log).returncode

    jobs = [(row, seed) for seed in study["seeds"] for row in rows if not args.only or row in args.only]
    if args.jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"
    failed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for (row, seed), code in zip(jobs, pool.map(train, jobs), strict=True):
            failed += code != 0
            print(f"{run_name(row, seed)}: exit code {code}", flush=True)
            report(study, args.out)
    return 1 if failed else 0


def report(study: dict, out: Path) -> None:
    """study.csv and study.md from the runs that have finished."""
    found = {
        row: [last_epoch(out / run_name(row, seed)) for seed in study["seeds"] if finished(out / run_name(row, seed))]
        for row in study["rows"]
    }
    with (out / "study.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "run", "top1", "loss", "best", "seconds"])
        for row, runs in found.items():
            writer.writerows([row, number, *figures.values()] for number, figures in enumerate(runs))
    plain = next(iter(found.values()))
    lines = ["| row | top-1, last epoch | against the first row | loss | seeds | overrides |", "|" + " --- |" * 6]
    for row, runs in found.items():
        if runs:
            gain = "" if runs is plain else f"{100 * (mean(runs, 'top1') - mean(plain, 'top1')):+.1f}"
            shown = " ".join(f"`{text}`" for text in study["rows"][row]) or "–"
            lines.append(f"| {row} | {spread(runs)} | {gain} | {mean(runs, 'loss'):.3f} | {len(runs)} | {shown} |")
    (out / "study.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def finished(run: Path) -> bool:
    return (run / "last" / "finished.json").exists()


def mean(runs: list[dict[str, float]], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


def spread(runs: list[dict[str, float]]) -> str:
    deviation = statistics.stdev(run["top1"] for run in runs) if len(runs) > 1 else float("nan")
    return f"{100 * mean(runs, 'top1'):.1f} ± {100 * deviation:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
