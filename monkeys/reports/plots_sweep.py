"""Reported against measured accuracy; part of the door to matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import PercentFormatter

from .plots_base import COLOURS, figure, name_ticks, save, styled, tidy

MOST = 200  # runs that are named


@styled
def plot_sweep(
    names: Sequence[str], reported: Sequence[float | None], measured: Sequence[tuple[float, float, float]], path: Path
) -> Path:
    """One line per run, in the given order from the top: measured (value, low, high), and the reported value."""
    made = figure(9, 1.6 + 0.36 * len(names), "Accuracy of each run")
    axes = made.subplots()
    for row, (value, low, high) in enumerate(measured):
        axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=2, alpha=0.6)
        axes.plot(value, row, "o", color=COLOURS[0], label="measured, 95 % interval" if row == 0 else None)
    known = [(value, row) for row, value in enumerate(reported) if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), "D", color=COLOURS[5], markerfacecolor="none", label="reported")
    name_ticks(axes.yaxis, names, MOST)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    tidy(axes, "top-1 accuracy on validation")
    made.legend(frameon=False, loc="outside lower center", ncols=2)
    return save(made, path)
