"""What the files of a run folder say of its training. Does not import Paddle."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import atomic
from ..errors import UserError

# columns of history.csv that pictures and tables need
_COLUMNS = ("epoch", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "seconds", "img_per_s")


def read_history(path: Path) -> dict[str, list[float]]:
    """Columns of history.csv as numbers; a line that is still being written is left out."""
    if not path.exists():
        return {"epoch": []}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.DictReader(file) if all(row.values())]
        history = {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {"epoch": []}
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    missing = [name for name in _COLUMNS if name not in history] if rows else []
    if missing:
        raise UserError(f"{path} is damaged: it has no column `{missing[0]}`")
    return history


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no such file."""
    return atomic.read_json(path) if path.exists() else {}


def pace(history: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Epochs, minutes of training, and the median of the epochs' images per second; None where nothing is told."""
    if not history["epoch"]:
        return dict.fromkeys(("epochs", "minutes", "img_per_s"))
    return {
        "epochs": int(history["epoch"][-1]),
        "minutes": round(sum(history["seconds"]) / 60, 2),
        "img_per_s": round(statistics.median(history["img_per_s"]), 2),
    }
