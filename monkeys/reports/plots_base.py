"""What all pictures have in common. With its siblings `plots*`, the only door to matplotlib.

Figures are objects of their own: no pyplot, no global state. Colours are Okabe and Ito's, which colour-blind people
can tell apart.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .. import atomic

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
SLANTED = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
RIGHT, WRONG = "#009E73", "#D55E00"
DPI = 110
LONGEST = 40.0  # inches per side: matplotlib draws 65536 pixels at most, and nobody scrolls that far
LONGEST_NAME = 42  # letters beside an axis
ALL_LABELS = 100  # classes up to which each is named
# for class names in Chinese, Japanese or Korean, where one of them is installed
_FALLBACK = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Microsoft YaHei",
)

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """A drawing function that takes class names as text, never as formulas, and finds letters of other scripts."""

    @functools.wraps(draw)
    def drawing(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with matplotlib.rc_context(_style()):
            return draw(*args, **kwargs)

    return drawing


@functools.cache
def _style() -> dict[str, Any]:
    installed = set(font_manager.get_font_names())
    families = ["DejaVu Sans", *(family for family in _FALLBACK if family in installed)]
    return {"text.parse_math": False, "font.family": families}


def figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure, in inches, with a limit."""
    made = Figure(figsize=(min(width, LONGEST), min(height, LONGEST)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(made)
    if title:
        made.suptitle(title, fontsize=12, fontweight="bold")
    return made


def save(made: Figure, path: Path) -> Path:
    """Write a PNG."""
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as boxes, in a script that has no font here
        made.savefig(picture, format="png")
    atomic.write_bytes(path, picture.getvalue())
    return path


def tidy(axes: Axes, xlabel: str = "", ylabel: str = "") -> None:
    """Labels, a light grid, no box."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(True, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def name_ticks(axis: Axis, names: Sequence[str], most: int, **style: Any) -> None:
    """Names of 0, 1, 2 … on an axis; every second, third … where there are more than can be read."""
    every = max(1, -(-len(names) // most))
    axis.set_ticks(range(0, len(names), every), [_cut(spaced(name)) for name in names[::every]], **style)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def spaced(name: str) -> str:
    """A class name as people write it."""
    return name.replace("_", " ")


def plain_logarithm(axis: Axis) -> None:
    """Numbers of a logarithmic axis as people write them, not as formulas."""
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
