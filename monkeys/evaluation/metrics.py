"""Metrics of a classifier, computed from the rows of predictions.csv alone, so that anyone can compute them again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .predictions import (
    Answer,
    Named,
    Predictions,
    answers,
    log_softmax,
    read_predictions,
    softmax,
    to_csv,
    write_predictions,
)

__all__ = [
    "Answer",
    "Named",
    "Predictions",
    "answers",
    "calibration_error",
    "confusion",
    "evaluate_predictions",
    "leak_free_words",
    "log_softmax",
    "mcnemar",
    "metrics_of",
    "per_class",
    "read_predictions",
    "reliability",
    "softmax",
    "to_csv",
    "wilson",
    "write_predictions",
]

BINS = 10
Z95 = 1.959963984540054


def evaluate_predictions(
    predictions: Predictions, classes: Sequence[Named], *, split: str, selected: bool, temperature: float = 1.0
) -> dict[str, Any]:
    """The content of metrics.json. selected: the best epoch was chosen on this split."""
    return metrics_of(answers(predictions, classes, temperature), classes, split=split, selected=selected)


def metrics_of(rows: Sequence[Answer], classes: Sequence[Named], *, split: str, selected: bool) -> dict[str, Any]:
    """Metrics of one or more answers, fresh or read back; fractions between 0 and 1, null where nothing was counted."""
    if not rows:
        raise ValueError("no predictions, no metrics")
    free = [row for row in rows if row.leak_free]
    low, high = wilson(_right(rows), len(rows))
    free_low, free_high = wilson(_right(free), len(free)) if free else (None, None)
    table = per_class(rows, classes)
    present = [row["f1"] for row in table if row["support"] or row["predicted"]]
    return {
        "split": split,
        "n": len(rows),
        "top1": _right(rows) / len(rows),
        "top1_low": low,
        "top1_high": high,
        "top5": sum(any(row.label == name for name, _ in row.top) for row in rows) / len(rows),
        "loss": math.fsum(row.loss for row in rows) / len(rows),
        "macro_f1": math.fsum(present) / len(present),
        "n_leak_free": len(free),
        "top1_leak_free": _right(free) / len(free) if free else None,
        "top1_leak_free_low": free_low,
        "top1_leak_free_high": free_high,
        "ece": calibration_error(rows),
        "selected_on_this_split": selected,
        "per_class": table,
    }


def leak_free_words(metrics: Mapping[str, Any]) -> str:
    """What stands beside each top-1: that of images whose picture training does not have; empty if it has none."""
    if not (free := metrics["n_leak_free"]):
        return "training has the picture of each of them: these figures say nothing about new ones"
    if free == metrics["n"]:
        return ""
    return f"leak-free top-1 {metrics['top1_leak_free']:.1%} on the {free} images whose picture training does not have"


def per_class(rows: Sequence[Answer], classes: Sequence[Named]) -> list[dict[str, Any]]:
    """Precision, recall with its interval, F1 and counts of each class (scikit-learn's figures)."""
    from sklearn.metrics import precision_recall_fscore_support

    ids = [info.id for info in classes]
    truth, found = [row.label for row in rows], [row.predicted for row in rows]
    figures = precision_recall_fscore_support(truth, found, labels=ids, zero_division=0.0)
    guesses, hits = Counter(found), Counter(row.label for row in rows if row.correct)
    table = []
    for info, precision, recall, f1, support in zip(classes, *figures, strict=True):
        low, high = wilson(hits[info.id], int(support)) if support else (0.0, 1.0)
        table.append(
            {
                "id": info.id,
                "name": info.name,
                "precision": float(precision),
                "recall": float(recall),
                "recall_low": low,
                "recall_high": high,
                "f1": float(f1),
                "support": int(support),
                "predicted": guesses[info.id],
            }
        )
    return table


def confusion(rows: Sequence[Answer], classes: Sequence[Named]) -> np.ndarray:
    """Counts [true class, predicted class], int64."""
    from sklearn.metrics import confusion_matrix

    ids = [info.id for info in classes]
    return confusion_matrix([row.label for row in rows], [row.predicted for row in rows], labels=ids)


def wilson(successes: int, count: int, z: float = Z95) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion (Wilson 1927)."""
    share = successes / count
    centre = share + z**2 / (2 * count)
    margin = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    # the ends are exactly 0 and 1 at none and all; rounding must not push them past it
    low = 0.0 if successes == 0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if successes == count else min(1.0, (centre + margin) / scale)
    return low, high


def reliability(rows: Sequence[Answer], bins: int = BINS) -> list[dict[str, float]]:
    """Mean confidence, accuracy with its interval, and count of each equal-width bin of confidence that is filled."""
    table = []
    for index in range(bins):
        inside = [row for row in rows if min(int(row.confidence * bins), bins - 1) == index]
        if inside:
            mean = math.fsum(row.confidence for row in inside) / len(inside)
            right, count = _right(inside), len(inside)
            low, high = wilson(right, count)
            row = {"confidence": mean, "accuracy": right / count, "accuracy_low": low, "accuracy_high": high}
            table.append({**row, "count": count})
    return table


def calibration_error(rows: Sequence[Answer], bins: int = BINS) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over the bins, weighted by count."""
    return math.fsum(abs(b["confidence"] - b["accuracy"]) * b["count"] for b in reliability(rows, bins)) / len(rows)


def mcnemar(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> float:
    """Two-sided p of McNemar's test: that two networks, asked the same images, are right equally often.

    Exact binomial over the images on which just one of them is right.
    """
    from scipy.stats import binomtest

    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


def _right(rows: Sequence[Answer]) -> int:
    return sum(row.correct for row in rows)
