"""Error of every optimizer against epochs and seconds; part of the door to matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .optimizers import Course

# Okabe and Ito's palette, told apart with any colour vision
_BLACK, _BLUE, _SKY, _GREEN = "#000000", "#0072B2", "#56B4E9", "#009E73"
_ORANGE, _RED, _PINK = "#E69F00", "#D55E00", "#CC79A7"
_STYLES = {
    "sgd": (_BLACK, "-", "o"),
    "momentum": (_BLUE, "-", "s"),
    "nesterov": (_BLUE, "--", "D"),
    "adagrad": (_GREEN, "-", "^"),
    "adadelta": (_GREEN, "--", "v"),
    "rmsprop": (_ORANGE, "-", "P"),
    "adam": (_RED, "-", "X"),
    "adamw": (_SKY, "--", "*"),  # lies on adam where there is no decay
    "nadam": (_PINK, "-", "<"),
    "adamp": (_BLACK, ":", ">"),
    "steepest": (_BLACK, "-", "o"),
    "newton_cg": (_BLUE, "-", "s"),
    "bfgs": (_RED, "-", "X"),
    "lbfgs": (_RED, "--", "*"),
    "dfp": (_GREEN, "-", "^"),
    "levenberg_marquardt": (_PINK, "-", "<"),
}
_INK, _GRID = "#333333", "#DDDDDD"
FLOOR = 1e-7  # errors below are cut off: some methods reach the limits of float64


def plot_optimizers(first: Mapping[str, Course], second: Mapping[str, Course], path: Path, note: str) -> Path:
    """Two rows (first and second order) of two panels (epochs, seconds), all axes logarithmic.

    The mappings hold the median course of each method, the best first; one of them may be empty.
    """
    titled = {"First order": first, "Line search and second order": second}
    rows = [(title, group) for title, group in titled.items() if group]
    figure = Figure(figsize=(12, 0.6 + 4.0 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), 2, sharey="row", squeeze=False)
    for (left, right), (title, group) in zip(panels, rows, strict=True):
        _draw(left, group, by_time=False)
        _draw(right, group, by_time=True)
        left.set_ylim(max(FLOOR, 0.7 * min(course.by_epoch[-1] for course in group.values())), 1)
        left.set_title(title, loc="left", fontweight="bold", color=_INK)
        left.set_ylabel("half mean squared error")
        right.legend(
            loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, title="last error", alignment="left",
            handlelength=4,
        )  # fmt: skip
    figure.suptitle(f"Optimizers on Iris: 4-8-3 sigmoid network, {note}", color=_INK)
    figure.savefig(path, dpi=150)
    return path


def _draw(axes: Axes, group: Mapping[str, Course], *, by_time: bool) -> None:
    axes.set(xscale="log", yscale="log", xlabel="seconds" if by_time else "epochs (steps on all data)")
    for rank, (name, course) in enumerate(group.items()):
        colour, dash, marker = _STYLES.get(name, (_INK, "-", "."))
        axes.plot(
            course.seconds if by_time else range(len(course.by_epoch)),
            course.by_time if by_time else course.by_epoch,
            color=colour,
            linestyle=dash,
            linewidth=1.7,
            marker=marker,
            markevery=(0.01 * rank, 0.15),
            markersize=5.5,
            label=f"{name}  {course.by_epoch[-1]:.2g}",
        )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.grid(color=_GRID, linewidth=0.8)
    axes.tick_params(colors=_INK)
    axes.spines[["top", "right"]].set_visible(False)
