"""The comparison of optimizers as numbers: medians over seeds, in CSV and Markdown."""

from __future__ import annotations

import bisect
import csv
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..optim.comparison import Run

TARGET = 0.02  # error that a run must reach for `epochs_to_target`: three of 150 flowers wrong, the rest exact


@dataclass(frozen=True)
class Row:
    """One method: medians over its seeds; low and high are the quartiles of the last error."""

    method: str
    rate: float | None
    seeds: int
    loss: float
    loss_low: float
    loss_high: float
    epochs_to_target: float | None
    seconds: float
    gradients: float
    top1: float


@dataclass(frozen=True)
class Course:
    """Median error over the runs of one method: by_epoch[i] after i epochs, by_time[i] after seconds[i].

    Runs that ended early keep their last error.
    """

    by_epoch: tuple[float, ...]
    seconds: tuple[float, ...]
    by_time: tuple[float, ...]


def table(runs: Iterable[Run], rates: dict[str, float]) -> list[Row]:
    """One row per method, lowest error first."""
    rows = [_row(method, found, rates.get(method)) for method, found in by_method(runs).items()]
    return sorted(rows, key=lambda row: row.loss)


def by_method(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of each method, in order of appearance."""
    methods: dict[str, list[Run]] = {}
    for run in runs:
        methods.setdefault(run.method, []).append(run)
    return methods


def median_course(runs: Sequence[Run]) -> Course:
    """Of the runs of one method, in epochs and in time, both until the longest run ended."""
    losses = [[_finite(loss) for loss in run.losses] for run in runs]
    length = max(len(values) for values in losses)
    seconds = _medians([run.seconds for run in runs], length)
    seconds += tuple(sorted(run.seconds[-1] for run in runs if run.seconds[-1] > seconds[-1]))
    by_time = (
        statistics.median(
            values[max(0, bisect.bisect_right(run.seconds, second) - 1)]
            for run, values in zip(runs, losses, strict=True)
        )
        for second in seconds
    )
    return Course(_medians(losses, length), seconds, tuple(by_time))


def write_curves(runs: Iterable[Run], path: Path) -> None:
    """CSV of every point of every run."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("method", "seed", "epoch", "seconds", "loss"))
        for run in runs:
            for epoch, (loss, second) in enumerate(zip(run.losses, run.seconds, strict=True)):
                lines.writerow((run.method, run.seed, epoch, f"{second:.6f}", f"{loss:.9g}"))


def write_table(rows: Sequence[Row], path: Path) -> None:
    """CSV with the fields of Row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, [field.name for field in fields(Row)])
        lines.writeheader()
        lines.writerows(asdict(row) for row in rows)


def markdown(rows: Sequence[Row], epochs: int) -> str:
    """The table for people, with what its columns mean."""
    head = (
        "method",
        "rate",
        "last error",
        "quartiles",
        f"epochs to {TARGET:g}",
        "gradients",
        "seconds",
        "top-1",
    )
    lines = [_line(head), _line(["---"] * len(head)), *(_line(_cells(row)) for row in rows)]
    seeds = max((row.seeds for row in rows), default=0)
    return (
        f"# Optimizers on Iris\n\n"
        f"A 4-8-3 sigmoid network, half the mean squared error over all 150 flowers, {epochs} epochs, "
        f"median of {seeds} seeds.\n\n" + "\n".join(lines) + "\n\n"
        "An epoch is one step of the method on all flowers; line searches and inner solvers ask for several gradients "
        f"in it. Quartiles are over the seeds; a dash means that fewer than half of them came down to {TARGET:g}. "
        "Top-1 is on the flowers trained on. A method without a rate finds the length of its steps itself; rates were "
        "searched on other seeds (`--tune`). No weight decay is used, as it would change the error: adamw is adam.\n"
    )


def _quartile(values: Sequence[float], which: int) -> float:
    """First or third quartile, interpolated; the standard library's makes NaN of an infinite value without weight."""
    below, rest = divmod(which * (len(values) - 1), 4)
    ordered = sorted(values)
    return ordered[below] if not rest else ordered[below] * (1 - rest / 4) + ordered[below + 1] * (rest / 4)


def _row(method: str, runs: Sequence[Run], rate: float | None) -> Row:
    finals = [_finite(run.losses[-1]) for run in runs]
    low, high = _quartile(finals, 1), _quartile(finals, 3)
    reached = statistics.median(_reached(run) for run in runs)
    return Row(
        method,
        rate,
        len(runs),
        statistics.median(finals),
        low,
        high,
        reached if math.isfinite(reached) else None,
        statistics.median(run.seconds[-1] for run in runs),
        statistics.median(run.gradients for run in runs),
        statistics.median(run.top1 for run in runs),
    )


def _reached(run: Run) -> float:
    """First epoch whose error is at most TARGET; infinite if none is."""
    return next((float(epoch) for epoch, loss in enumerate(run.losses) if loss <= TARGET), math.inf)


def _finite(loss: float) -> float:
    """An error that is no number counts as infinite, so that medians keep their order."""
    return math.inf if math.isnan(loss) else loss


def _medians(series: Sequence[Sequence[float]], length: int) -> tuple[float, ...]:
    """Of the values at each place, series that end early keeping their last."""
    columns = ([values[min(place, len(values) - 1)] for values in series] for place in range(length))
    return tuple(statistics.median(column) for column in columns)


def _cells(row: Row) -> list[str]:
    return [
        row.method,
        "" if row.rate is None else f"{row.rate:g}",
        f"{row.loss:.2g}",
        f"{row.loss_low:.2g} to {row.loss_high:.2g}",
        "–" if row.epochs_to_target is None else f"{row.epochs_to_target:g}",
        f"{row.gradients:g}",
        f"{row.seconds:.2f}",
        f"{row.top1:.1%}",
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
