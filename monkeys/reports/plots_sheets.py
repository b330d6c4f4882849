"""Contact sheets: many small pictures on one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .plots_base import RIGHT, WRONG, figure, save, styled

CELL = 1.75  # inches
GAP, LINE = 0.05, 0.085  # between pictures and of a line of text, in cells
HEAD = 0.45  # inches for the title
NARROWEST = 4  # cells, so that the title fits
LETTERS, MOST_LINES = 29, 4  # of a caption

Caption = list[str]


@styled
def sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    path: Path,
    *,
    columns: int,
    title: str,
    marks: Sequence[bool] | None = None,
) -> Path:
    """Pictures [H, W, 3] uint8 with captions above; marks tell right from wrong by a sign and by colour.

    All is drawn on one pair of axes: one for each picture takes many times as long.
    """
    columns = max(1, min(columns, len(images)))
    wrapped = [_wrapped(caption, marks[index] if marks else None) for index, caption in enumerate(captions)]
    lines = max(map(len, wrapped), default=1)
    pitch = 1 + lines * LINE + GAP  # from row to row, in cells
    rows = max(1, -(-len(images) // columns))
    width, height = max(columns, NARROWEST), rows * pitch
    made = figure(width * CELL, height * CELL + HEAD)
    made.set_layout_engine("none")
    made.suptitle(title, y=1 - 0.12 / made.get_figheight(), va="top", fontsize=12, fontweight="bold")
    axes = made.add_axes((0, 0, 1, height * CELL / (height * CELL + HEAD)))
    axes.axis("off")
    for index, (image, caption) in enumerate(zip(images, wrapped, strict=True)):
        left, top = index % columns, index // columns * pitch
        mark = marks[index] if marks else None
        ink = "black" if mark is None else (RIGHT if mark else WRONG)
        style: dict[str, Any] = {"ha": "center", "va": "bottom", "color": ink, "fontsize": 7.5, "linespacing": 1.1}
        axes.text(left + 0.5, top + (lines + 0.1) * LINE, "\n".join(caption), **style)
        _place(axes, image, left + GAP / 2, top + (lines + 0.3) * LINE, 1 - GAP, None if mark is None else ink)
    if not images:
        axes.text(0.1, height / 2, "none", fontsize=12)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")  # last, as every picture asks for limits of its own
    return save(made, path)


def _wrapped(caption: str, mark: bool | None) -> Caption:
    """Lines that fit over a picture; bytes that are no text become question marks."""
    caption = caption.encode("utf-8", "replace").decode()
    sign = "" if mark is None else ("✓ " if mark else "✗ ")
    lines = [part for line in (sign + caption).split("\n") for part in textwrap.wrap(line, LETTERS) or [""]]
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]


def _place(axes: Axes, image: np.ndarray, left: float, top: float, side: float, frame: str | None) -> None:
    """Put a picture into a square, its aspect kept, right below its caption."""
    scale = side / max(image.shape[:2])
    width, height = image.shape[1] * scale, image.shape[0] * scale
    left += (side - width) / 2
    axes.imshow(image, extent=(left, left + width, top + height, top), interpolation="antialiased")
    if frame:
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=frame, linewidth=3))
