"""Pictures of runs and of predictions: curves, confusion, classes, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .plots_base import (
    ALL_LABELS,
    COLOURS,
    SLANTED,
    figure,
    name_ticks,
    plain_logarithm,
    save,
    styled,
    tidy,
)

POINTS = 40  # epochs up to which each is marked


@styled
def curves(history: Mapping[str, Sequence[float]], path: Path, *, mixed: bool = False) -> Path:
    """Loss, accuracy and learning rate by epoch, from the columns of history.csv. mixed: mixup or cutmix was used."""
    made = figure(11, 3.6, "Training")
    left, middle, right = made.subplots(1, 3)
    epochs = history["epoch"]
    mark = "." if len(epochs) <= POINTS else ""
    for part, colour, style in (("train", COLOURS[0], "-"), ("val", COLOURS[1], "--")):
        training = "training (mixed pictures)" if mixed else "training"
        name = training if part == "train" else "validation"
        left.plot(epochs, history[f"{part}_loss"], style, color=colour, marker=mark, label=name)
        middle.plot(epochs, history[f"{part}_top1"], style, color=colour, marker=mark, label=name)
    rows = zip(history["val_top1"], history["val_loss"], epochs, strict=True)
    known = [(top1, -loss if loss == loss else -math.inf, -epoch) for top1, loss, epoch in rows if top1 == top1]
    if known:
        height, _, before = max(known)  # of equals the one of lower loss, then the first, as in training
        epoch = -before
        middle.plot(epoch, height, "o", color=COLOURS[5], label=f"best validation: {height:.1%}")
    middle.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    middle.set_ylim(0, 1)
    right.plot(epochs, history["lr"], color=COLOURS[2], marker=mark)
    for axes, label in ((left, "loss"), (middle, "top-1 accuracy"), (right, "learning rate")):
        tidy(axes, "epoch", label)
        _whole_epochs(axes, epochs)
    left.legend(frameon=False)
    middle.legend(frameon=False, loc="best")
    return save(made, path)


@styled
def compare_curves(runs: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> Path:
    """Validation loss and accuracy of several runs, from the columns of their history.csv."""
    made = figure(11, 4, "Validation, run by run")
    left, right = made.subplots(1, 2)
    epochs = [epoch for history in runs.values() for epoch in history["epoch"]]
    mark = "." if max(epochs) <= POINTS else ""
    for index, (name, history) in enumerate(runs.items()):
        colour, dash = COLOURS[index % len(COLOURS)], ("-", "--", ":")[index // len(COLOURS) % 3]
        style = {"color": colour, "linestyle": dash, "marker": mark, "label": name}
        left.plot(history["epoch"], history["val_loss"], **style)
        right.plot(history["epoch"], history["val_top1"], **style)
    for axes, label in ((left, "loss"), (right, "top-1 accuracy")):
        tidy(axes, "epoch", label)
        _whole_epochs(axes, epochs)
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    made.legend(*right.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    return save(made, path)


def _whole_epochs(axes: Axes, epochs: Sequence[float]) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if len(set(epochs)) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)


@styled
def confusion_matrix(matrix: np.ndarray, names: Sequence[str], path: Path) -> Path:
    """Counts [true, predicted], coloured by share of the true class; rare confusions are lifted out of the white."""
    count = len(names)
    side = min(16.0, max(6.0, 3.5 + 0.55 * count))
    made = figure(side, side * 0.92)
    axes = made.subplots()
    axes.set_title(f"Confusion: {int(matrix.trace())} of {int(matrix.sum())} right", fontsize=12, fontweight="bold")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    points = min(10.0, 0.55 * 72 * 0.75 * side / count)  # three quarters of the side are cells
    name_ticks(axes.xaxis, names, ALL_LABELS, **SLANTED, fontsize=max(points, 6))
    name_ticks(axes.yaxis, names, ALL_LABELS, fontsize=max(points, 6))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_anchor("N")
    for row, column in np.argwhere(matrix) if count <= ALL_LABELS else ():
        ink = "white" if shares[row, column] > 0.35 else "black"
        style = {"ha": "center", "va": "center", "color": ink, "fontsize": points, "in_layout": False}
        axes.text(column, row, str(matrix[row, column]), **style)
    beside = axes.inset_axes((1.03, 0, 0.04, 1))  # as high as the matrix, whatever room the names take
    bar = made.colorbar(image, cax=beside, format=PercentFormatter(1.0, decimals=0))
    bar.set_ticks([0, 0.05, 0.2, 0.4, 0.6, 0.8, 1])
    bar.set_label("share of the true class")
    return save(made, path)


@styled
def per_class_bars(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Recall of each class with its 95 % interval, worst at the top; of very many classes, the worst hundred."""
    present = sorted((row for row in rows if row["support"]), key=lambda row: row["recall"])
    shown = present[:ALL_LABELS][::-1]
    title = "Recall by class: share of its images that was recognised"
    made = figure(9, 1.4 + 0.3 * len(shown), title + (f" ({len(shown)} worst)" if len(shown) < len(present) else ""))
    axes = made.subplots()
    values, low, high = (np.array([row[key] for row in shown]) for key in ("recall", "recall_low", "recall_high"))
    axes.barh(range(len(shown)), values, color=COLOURS[4])
    axes.errorbar(values, range(len(shown)), xerr=[values - low, high - values], fmt="none", ecolor="black", capsize=2)
    name_ticks(axes.yaxis, [f"{row['name']} ({row['support']})" for row in shown], ALL_LABELS)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    tidy(axes, "recall, with its 95 % interval (number of images in brackets)")
    return save(made, path)


@styled
def reliability(
    bins: Sequence[Mapping[str, float]],
    ece: float,
    path: Path,
    *,
    before: Sequence[Mapping[str, float]] = (),
    note: str = "",
) -> Path:
    """Accuracy against confidence: on the diagonal, confidence means what it says. before: without scaling."""
    made = figure(5.8, 5.4, f"Calibration: expected error {ece:.1%}{note}")
    axes = made.subplots()
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="perfect")
    if before:
        style = {"marker": "D", "s": 28, "facecolors": "none", "edgecolors": COLOURS[5]}
        places = [b["confidence"] for b in before], [b["accuracy"] for b in before]
        axes.scatter(*places, **style, label="before temperature scaling")
    x, y, low, high, count = (
        np.array([b[key] for b in bins]) for key in ("confidence", "accuracy", "accuracy_low", "accuracy_high", "count")
    )
    axes.errorbar(x, y, yerr=[y - low, high - y], fmt="none", ecolor=COLOURS[0], elinewidth=1, alpha=0.6)
    label = "images of like confidence, with 95 % interval (area: how many)"
    axes.scatter(x, y, s=25 + 12 * np.sqrt(count), color=COLOURS[0], alpha=0.8, label=label)
    for row in bins:
        place = row["confidence"], row["accuracy"]
        axes.annotate(str(row["count"]), place, xytext=(7, -9), textcoords="offset points", fontsize=8)
    axes.set_xlim(0, 1.03)
    axes.set_ylim(-0.02, 1.03)
    tidy(axes, "mean confidence", "share that is right")
    made.legend(frameon=False, loc="outside lower center", fontsize=8)
    return save(made, path)


@styled
def lr_finder(rates: Sequence[float], losses: Sequence[float], suggestion: float, path: Path) -> Path:
    """Smoothed loss against the rate, with the rate to start from."""
    made = figure(7, 4.2, f"Learning-rate range test: start from about {suggestion:.1e}")
    axes = made.subplots()
    axes.semilogx(rates, losses, color=COLOURS[0])
    axes.axvline(suggestion, color=COLOURS[5], linestyle="--", label=f"{suggestion:.2e}: steepest fall")
    tidy(axes, "learning rate", "smoothed training loss")
    plain_logarithm(axes.xaxis)
    axes.legend(frameon=False)
    return save(made, path)
