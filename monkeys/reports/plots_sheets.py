"""Contact sheets: many small pictures on one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .plots import RIGHT, WRONG, figure, save

CELL = 1.75  # inches


def sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    path: Path,
    *,
    columns: int,
    title: str,
    marks: Sequence[bool] | None = None,
) -> Path:
    """Pictures [H, W, 3] uint8 with captions; marks tell right from wrong by a sign in the caption and by the frame."""
    rows = max(1, -(-len(images) // columns))
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    made = figure(max(CELL * columns, 6), (CELL + 0.2 * lines) * rows + 0.5, title)
    grid = made.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    for index, (axes, image, caption) in enumerate(zip(grid, images, captions, strict=False)):
        axes.imshow(image, interpolation="antialiased")
        axes.set_title(caption, fontsize=7.5)
        if marks is not None:
            _mark(axes, caption, marks[index])
    if not images:
        grid[0].text(0, 0.5, "none", fontsize=12)
    return save(made, path)


def _mark(axes: object, caption: str, right: bool) -> None:
    colour = RIGHT if right else WRONG
    axes.set_title(f"{'✓' if right else '✗'} {caption}", fontsize=7.5, color=colour)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(colour)
        spine.set_linewidth(2.5)
