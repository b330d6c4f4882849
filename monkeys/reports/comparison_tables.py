"""What a comparison found, as rows and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RESULTS = (
    *("run", "top-1", "95 % interval", "images", "leak-free top-1", "macro F1", "loss"),
    *("epochs", "minutes", "images/s"),
)


@dataclass(frozen=True)
class Result:
    """A row of comparison.csv: validation figures as fractions with 95 % intervals, and speed."""

    run: str
    n: int
    top1: float
    top1_low: float
    top1_high: float
    n_leak_free: int
    top1_leak_free: float | None
    loss: float
    macro_f1: float
    selected_on_this_split: bool
    epochs: int | None
    minutes: float | None
    img_per_s: float | None


@dataclass(frozen=True)
class Pair:
    """Two runs asked the same images: how many only one of them got right. p is None, with a reason, where not so."""

    first: str
    second: str
    n: int
    only_first: int
    only_second: int
    p: float | None
    reason: str = ""


def markdown(
    results: Sequence[Result], settings: Mapping[str, Sequence[str]], pairs: Sequence[Pair], *, drawn: bool
) -> str:
    """comparison.md: what the figures are, and how far they can be trusted."""
    parts = ["# Comparison of runs", _results_table(results)]
    if any(row.selected_on_this_split for row in results):
        parts.append(
            "Intervals are Wilson's. The best epoch of each run was chosen on these very images, so accuracies are "
            "a little too good."
        )
    parts.append("Losses are those after dividing by each run's own temperature, fitted to its validation images.")
    parts += ["## Are they different?", _pairs_table(pairs)]
    parts.append(
        "p of McNemar's exact test: how often runs that are equally good would differ this much or more on these "
        "images. It says nothing of how another seed would have come out"
        + (f"; and of {len(pairs)} pairs, one in twenty is below 0.05 by chance." if len(pairs) > 1 else ".")
    )
    head, rows = ["setting", *(row.run for row in results)], [[f"`{key}`", *row] for key, row in settings.items()]
    parts += ["## Settings that differ", _table(head, rows) if rows else "None."]
    if drawn:
        parts += ["## Curves", "![validation loss and accuracy by epoch](curves.png)"]
    return "\n\n".join(parts) + "\n"


def _results_table(results: Sequence[Result]) -> str:
    rows = [
        [
            row.run,
            f"{row.top1:.1%}",
            f"{row.top1_low:.1%} to {row.top1_high:.1%}",
            str(row.n),
            "–" if row.top1_leak_free is None else f"{row.top1_leak_free:.1%} of {row.n_leak_free}",
            f"{row.macro_f1:.3f}",
            f"{row.loss:.3f}",
            _number(row.epochs, "d"),
            _number(row.minutes, ".1f"),
            _number(row.img_per_s, ".1f"),
        ]
        for row in results
    ]
    return _table(RESULTS, rows)


def _pairs_table(pairs: Sequence[Pair]) -> str:
    rows = [
        [pair.first, pair.second, str(pair.n), str(pair.only_first), str(pair.only_second), f"{pair.p:.3g}"]
        if pair.p is not None
        else [pair.first, pair.second, "–", "–", "–", pair.reason]
        for pair in pairs
    ]
    return _table(["A", "B", "images", "only A right", "only B right", "p"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
