"""What a network said of each image: logits, and the rows of predictions.csv that all figures are computed from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .. import atomic
from ..errors import UserError

TOP = 5
_ENCODING = ("utf-8", "surrogateescape")  # file names need not be text


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
    """One per image; logits are divided by the temperature first. UserError where they are no finite numbers."""
    broken = np.flatnonzero(~np.isfinite(predictions.logits).all(axis=1))
    if len(broken):
        raise UserError(
            f"{predictions.paths[broken[0]]}: the network's answer is not finite (so on {len(broken)} of "
            f"{len(predictions.paths)} images); its weights are broken: train again or use an earlier checkpoint"
        )
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


def write_predictions(path: Path, rows: Sequence[Answer]) -> None:
    """predictions.csv."""
    atomic.write_bytes(path, to_csv(rows).encode(*_ENCODING))


def to_csv(rows: Sequence[Answer]) -> str:
    """The text of predictions.csv: numbers as Python prints them, which reads back to the last bit."""
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
    """The reverse of `write_predictions`; UserError where the file is missing or something else."""
    try:
        text = path.read_bytes().decode(*_ENCODING)
        return [_answer(line) for line in csv.DictReader(io.StringIO(text, newline=""), strict=True)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a predictions.csv that can be read: {error}") from None


def _answer(line: Mapping[str, str]) -> Answer:
    width = sum(str(column).startswith("top_") for column in line)
    return Answer(
        path=line["path"],
        label=line["label"],
        predicted=line["predicted"],
        confidence=float(line["confidence"]),
        loss=float(line["loss"]),
        leak_free=bool(int(line["leak_free"])),
        top=tuple((line[f"top_{k}"], float(line[f"probability_{k}"])) for k in range(1, width + 1)),
    )
