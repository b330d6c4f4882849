"""The artefacts of one examination: tables that programs read, pictures that people look at."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import atomic
from ..evaluation.metrics import (
    Answer,
    Named,
    Predictions,
    answers,
    calibration_error,
    confusion,
    reliability,
    write_predictions,
)
from . import plots, plots_sheets
from .plots_base import spaced

SHOWN_ERRORS, SHOWN_SAMPLES = 24, 16
THUMBNAIL = 160  # pixels per side

Thumbnails = Callable[[str], np.ndarray]


def refuse_foreign(out: Path) -> None:
    """UserError where a folder holds anything, and not from an examination: files of these names would be replaced."""
    written_first = ("predictions.csv", "per_class.csv")
    atomic.refuse_foreign(out, written_first, None, "examination")


def write_evaluation(
    out: Path,
    predictions: Predictions,
    classes: Sequence[Named],
    metrics: Mapping[str, Any],
    thumbnails: Thumbnails,
    *,
    seed: int = 0,
    temperature: float = 1.0,
) -> None:
    """Write metrics.json, predictions.csv, per_class.csv, reliability.csv, confusion_matrix.csv and the pictures.

    thumbnails: path of an image -> [H, W, 3] uint8. seed: of the random samples shown.
    """
    atomic.make_folder(out)
    rows = answers(predictions, classes, temperature)
    names = {info.id: spaced(info.name) for info in classes}
    matrix = confusion(rows, classes)
    write_predictions(out / "predictions.csv", rows)
    atomic.write_text(out / "per_class.csv", _table(metrics["per_class"]))
    atomic.write_text(out / "confusion_matrix.csv", _matrix(matrix, classes))
    plots.confusion_matrix(matrix, [info.name for info in classes], out / "confusion_matrix.png")
    plots.per_class_bars(metrics["per_class"], out / "per_class.png")
    _calibration(predictions, rows, classes, temperature, out)
    _errors(rows, names, thumbnails, out / "errors.png")
    _samples(rows, names, thumbnails, out / "samples.png", seed)
    atomic.write_json(out / "metrics.json", metrics)


def _calibration(
    predictions: Predictions, rows: Sequence[Answer], classes: Sequence[Named], temperature: float, out: Path
) -> None:
    """reliability.png and its table, with the confidence that the network had before temperature scaling."""
    bins, note, plain = reliability(rows), "", []
    atomic.write_text(out / "reliability.csv", _table(bins))
    if temperature != 1:
        unscaled = answers(predictions, classes)
        plain = reliability(unscaled)
        note = f"\n({calibration_error(unscaled):.1%} before dividing the logits by {temperature:.2f})"
    plots.reliability(bins, calibration_error(rows), out / "reliability.png", before=plain, note=note)


def _errors(rows: Sequence[Answer], names: Mapping[str, str], thumbnails: Thumbnails, path: Path) -> None:
    """The worst mistakes, highest loss first."""
    wrong = sorted((row for row in rows if not row.correct), key=lambda row: -row.loss)
    shown = wrong[:SHOWN_ERRORS]
    captions = [f"{names[row.label]} →\n{names[row.predicted]} {row.confidence:.0%}" for row in shown]
    title = f"{len(shown)} worst of {len(wrong)} mistakes (true → predicted, confidence)" if shown else "No mistakes"
    plots_sheets.sheet([_thumbnail(thumbnails(row.path)) for row in shown], captions, path, columns=6, title=title)


def _samples(rows: Sequence[Answer], names: Mapping[str, str], thumbnails: Thumbnails, path: Path, seed: int) -> None:
    """Random images with what the network says of them."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:SHOWN_SAMPLES]
    shown = [rows[index] for index in chosen]
    captions = [_sample_caption(row, names) for row in shown]
    title = f"{len(shown)} random images: {sum(row.correct for row in shown)} right"
    images = [_thumbnail(thumbnails(row.path)) for row in shown]
    plots_sheets.sheet(images, captions, path, columns=4, title=title, marks=[row.correct for row in shown])


def _sample_caption(row: Answer, names: Mapping[str, str]) -> str:
    said = f"{names[row.predicted]} {row.confidence:.0%}"
    return said if row.correct else f"{said}\nis {names[row.label]}"


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Small enough for a sheet, its aspect kept."""
    import cv2

    scale = THUMBNAIL / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _matrix(matrix: np.ndarray, classes: Sequence[Named]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true \\ predicted", *(info.id for info in classes)])
    for info, counts in zip(classes, matrix.tolist(), strict=True):
        writer.writerow([info.id, *counts])
    return text.getvalue()
