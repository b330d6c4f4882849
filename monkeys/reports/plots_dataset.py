"""Pictures of a set of photographs: labels, sizes, files, colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from .plots_base import ALL_LABELS, COLOURS, figure, name_ticks, save, styled, tidy

SPLIT_COLOURS = {"train": COLOURS[0], "val": COLOURS[1], "test": COLOURS[2]}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
_MARKERS = {"train": "o", "val": "^", "test": "s"}


@styled
def labels_per_class(counts: Mapping[str, Mapping[str, int]], path: Path) -> Path:
    """Images of each class, by split. counts: class name -> split -> number."""
    splits = [split for split in SPLIT_COLOURS if any(split in row for row in counts.values())]
    bar = 0.84 / max(len(splits), 1)
    made = figure(9, 1.3 + (0.16 + 0.2 * len(splits)) * len(counts), "Images per class")
    axes = made.subplots()
    for place, split in enumerate(splits):
        lengths = [row.get(split, 0) for row in counts.values()]
        middle = np.arange(len(counts)) + (place - (len(splits) - 1) / 2) * bar
        label = f"{SPLIT_NAMES[split]} ({sum(lengths)})"
        bars = axes.barh(middle, lengths, bar, color=SPLIT_COLOURS[split], label=label)
        if len(counts) <= ALL_LABELS:
            axes.bar_label(bars, fontsize=8, padding=2)
    _class_rows(axes, list(counts))
    tidy(axes, "images")
    if splits:
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return save(made, path)


def _class_rows(axes: Axes, names: Sequence[str]) -> None:
    """A row per class, the first at the top."""
    name_ticks(axes.yaxis, names, ALL_LABELS)
    axes.set_ylim(len(names) - 0.4, -0.6)


@styled
def sizes(points: Mapping[str, Sequence[tuple[int, int]]], caption: str, path: Path) -> Path:
    """Width against height of every image, by split, with the lines of aspect 1:1 and 2:1."""
    made = figure(7, 6.2, caption)
    axes = made.subplots()
    largest = max((max(size) for split in points.values() for size in split), default=1) * 1.05
    for ratio, style in ((1, "-"), (2, "--")):
        axes.plot(
            [0, largest], [0, largest / ratio], style, color="grey", linewidth=1, label=f"width : height = {ratio} : 1"
        )
    for split, found in points.items():
        wide, high = zip(*found, strict=True) if found else ((), ())
        axes.scatter(
            wide,
            high,
            s=16,
            marker=_MARKERS[split],
            color=SPLIT_COLOURS[split],
            alpha=0.45,
            linewidths=0,
            label=f"{SPLIT_NAMES[split]} ({len(found)})",
        )
    axes.axvline(1000, color="black", linewidth=0.6, linestyle=":")
    axes.axhline(1000, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlim(0, largest)
    axes.set_ylim(0, largest)
    tidy(axes, "width, pixels", "height, pixels")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return save(made, path)


@styled
def file_sizes(kilobytes: Sequence[float], path: Path) -> Path:
    """Histogram of file sizes on a logarithmic axis."""
    made = figure(7, 3.8, f"File sizes: half of the files are under {np.median(kilobytes):,.0f} kB")
    axes = made.subplots()
    low, high = max(min(kilobytes), 1e-3), max(max(kilobytes), 2e-3)
    axes.hist(kilobytes, bins=np.geomspace(low * 0.99, high * 1.01, 40), color=COLOURS[0])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    tidy(axes, "file size, kB (logarithmic)", "files")
    return save(made, path)


@styled
def colours(means: Mapping[str, np.ndarray], path: Path) -> Path:
    """Mean red, green and blue of each class's images, [N, 3] from 0 to 1, with the spread between images."""
    made = figure(9, 1.5 + 0.36 * len(means), "Mean colour of the images, ± standard deviation within the class")
    axes = made.subplots()
    for channel, (name, colour) in enumerate(
        zip(("red", "green", "blue"), (COLOURS[5], COLOURS[2], COLOURS[0]), strict=True)
    ):
        centre = [float(rgb[:, channel].mean()) for rgb in means.values()]
        spread = [float(rgb[:, channel].std()) for rgb in means.values()]
        place = np.arange(len(means)) + (channel - 1) * 0.22
        axes.errorbar(centre, place, xerr=spread, fmt="os^"[channel], color=colour, capsize=2, label=name)
    _class_rows(axes, list(means))
    axes.set_xlim(0, 1)
    tidy(axes, "mean of the channel: 0 is black, 1 full brightness")
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return save(made, path)
