"""Metrics of a classifier, computed from the rows of predictions.csv alone, so that anyone can compute them again."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TOP = 5
BINS = 10
Z95 = 1.959963984540054


class Named(Protocol):
    """A class of the task."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Predictions:
    """Of N images over C classes. leak_free: False where a training image shows the same picture."""

    paths: tuple[str, ...]
    labels: np.ndarray  # [N] int64
    logits: np.ndarray  # [N, C] float32
    leak_free: np.ndarray  # [N] bool


@dataclass(frozen=True)
class Answer:
    """One row of predictions.csv; class ids throughout, top by falling probability."""

    path: str
    label: str
    predicted: str
    confidence: float
    loss: float
    leak_free: bool
    top: tuple[tuple[str, float], ...]

    @property
    def correct(self) -> bool:
        return self.predicted == self.label


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [N, C] float64."""
    return np.exp(log_softmax(logits))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities [N, C] float64, without overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def answers(predictions: Predictions, classes: Sequence[Named], temperature: float = 1.0) -> list[Answer]:
    """One per image; logits are divided by the temperature first."""
    log_probability = log_softmax(predictions.logits.astype(np.float64) / temperature)
    order = np.argsort(-log_probability, axis=1, kind="stable")[:, : min(TOP, len(classes))]
    return [
        Answer(
            path=path,
            label=classes[label].id,
            predicted=classes[best[0]].id,
            confidence=float(np.exp(row[best[0]])),
            loss=float(-row[label]),
            leak_free=bool(free),
            top=tuple((classes[index].id, float(np.exp(row[index]))) for index in best),
        )
        for path, label, free, row, best in zip(
            predictions.paths, predictions.labels, predictions.leak_free, log_probability, order, strict=True
        )
    ]


def evaluate_predictions(
    predictions: Predictions, classes: Sequence[Named], *, split: str, selected: bool, temperature: float = 1.0
) -> dict[str, Any]:
    """The content of metrics.json. selected: the best epoch was chosen on this split."""
    return metrics_of(answers(predictions, classes, temperature), classes, split=split, selected=selected)


def metrics_of(rows: Sequence[Answer], classes: Sequence[Named], *, split: str, selected: bool) -> dict[str, Any]:
    """Metrics of answers, fresh or read back; fractions between 0 and 1, null where nothing was counted."""
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


def per_class(rows: Sequence[Answer], classes: Sequence[Named]) -> list[dict[str, Any]]:
    """Precision, recall with its interval, F1 and counts of each class (scikit-learn's figures)."""
    from sklearn.metrics import precision_recall_fscore_support

    ids = [info.id for info in classes]
    truth, found = [row.label for row in rows], [row.predicted for row in rows]
    figures = precision_recall_fscore_support(truth, found, labels=ids, zero_division=0.0)
    table = []
    for info, precision, recall, f1, support in zip(classes, *figures, strict=True):
        right = sum(row.correct for row in rows if row.label == info.id)
        low, high = wilson(right, int(support)) if support else (0.0, 1.0)
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
                "predicted": found.count(info.id),
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
    """Mean confidence, accuracy and count of each equal-width bin of confidence that holds any image."""
    table = []
    for index in range(bins):
        inside = [row for row in rows if min(int(row.confidence * bins), bins - 1) == index]
        if inside:
            mean = math.fsum(row.confidence for row in inside) / len(inside)
            table.append({"confidence": mean, "accuracy": _right(inside) / len(inside), "count": len(inside)})
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


def to_csv(rows: Sequence[Answer]) -> str:
    """predictions.csv: numbers as Python prints them, which reads back to the last bit."""
    width = max((len(row.top) for row in rows), default=0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [f"{what}_{k}" for k in range(1, width + 1) for what in ("top", "probability")]
    writer.writerow(["path", "label", "predicted", "confidence", "loss", "leak_free", *head])
    for row in rows:
        top = [cell for name, probability in row.top for cell in (name, repr(probability))]
        cells = [row.path, row.label, row.predicted, repr(row.confidence), repr(row.loss), int(row.leak_free)]
        writer.writerow([*cells, *top])
    return text.getvalue()


def read_predictions(path: Path) -> list[Answer]:
    """The reverse of `to_csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_answer(line) for line in csv.DictReader(file)]


def _answer(line: Mapping[str, str]) -> Answer:
    width = sum(column.startswith("top_") for column in line)
    return Answer(
        path=line["path"],
        label=line["label"],
        predicted=line["predicted"],
        confidence=float(line["confidence"]),
        loss=float(line["loss"]),
        leak_free=line["leak_free"] == "1",
        top=tuple((line[f"top_{k}"], float(line[f"probability_{k}"])) for k in range(1, width + 1)),
    )
