"""Accuracy against time of several trainings in one picture: runs of this project, and the peer's recipe.

    python tools/train.py -c configs/monkeys_cpu_15m.yaml -o data.root=data/monkeys data.folds=5   # and _1h, _3h
    python benchmarks/curves.py runs/monkeys_cpu_15m runs/monkeys_cpu_1h --peer peer.jsonl --out curves.png

Every run is drawn to its last epoch, whose accuracy stands in the legend; single epochs faintly, under the median of
nine. Time is training, validation and saving (the peer saves nothing); --peer names what `peer_recipe.py` printed.
A copy of a run's history.csv stands for the run and lends the curve its name.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monkeys.reports.plots_base import COLOURS, figure, plain_logarithm, save, styled, tidy

TICKS = (0.2, 0.5, 1, 2, 5, 15, 30, 60, 120, 180)  # minutes; the budgets are among them


class Curve(NamedTuple):
    name: str
    minutes: list[float]  # since the start, after each epoch
    top1: list[float]  # fractions
    style: str = "-"  # of the line


def of_run(run: Path) -> Curve:
    """A run of this project, from its folder or from a copy of its history."""
    history = run / "history.csv" if run.is_dir() else run
    with history.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    minutes = [float(line["elapsed"]) / 60 for line in lines]
    return Curve(run.name.removesuffix(".csv").replace("_", " "), minutes, [float(line["val_top1"]) for line in lines])


def of_peer(printed: Path) -> Curve:
    """The peer, from a JSON line an epoch."""
    lines = [json.loads(line) for line in printed.read_text(encoding="utf-8").splitlines()]
    minutes = [line["seconds"] / 60 for line in lines]
    return Curve(printed.stem.replace("_", " "), minutes, [line["val_top1"] for line in lines], "--")


def running_median(values: list[float]) -> list[float]:
    """The median of each value and its neighbours, four on each side where there are as many on both."""
    reaches = [min(4, index, len(values) - 1 - index) for index in range(len(values))]
    return [median(values[index - reach : index + reach + 1]) for index, reach in enumerate(reaches)]


@styled
def draw(curves: list[Curve], out: Path) -> Path:
    """Epochs faintly, their running median plainly, a peer's dashed; the last is marked and stands in the legend."""
    made = figure(9, 5.5, "Accuracy on the held-out photographs against time")
    axes = made.subplots()
    for curve, colour in zip(curves, cycle(COLOURS)):
        label = f"{curve.name}: {curve.top1[-1]:.1%} after {curve.minutes[-1]:.0f} min"
        percent = [100 * top1 for top1 in curve.top1]
        axes.plot(curve.minutes, percent, color=colour, linewidth=0.6, alpha=0.3)
        axes.plot(curve.minutes, running_median(percent), curve.style, color=colour, linewidth=1.8, label=label)
        axes.plot(curve.minutes[-1], percent[-1], "o", color=colour)
    axes.set_xscale("log")
    plain_logarithm(axes.xaxis)
    last = max(curve.minutes[-1] for curve in curves)
    axes.set_xticks([minutes for minutes in TICKS if minutes <= last] or [last])
    axes.set_ylim(0, 100)
    tidy(axes, "minutes since the start, logarithmic", "top-1, %")
    axes.legend(loc="lower right", frameon=False)
    return save(made, out)


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("runs", type=Path, nargs="+", help="run folders, or copies of their history.csv")
    parse.add_argument("--peer", type=Path, nargs="+", default=[], help="files of what peer_recipe.py printed")
    parse.add_argument("--out", type=Path, required=True, help="PNG file")
    args = parse.parse_args()
    curves = [*map(of_run, args.runs), *map(of_peer, args.peer)]
    print(draw(curves, args.out))


if __name__ == "__main__":
    main()
