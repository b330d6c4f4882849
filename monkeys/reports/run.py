"""report.html of a run: everything that its folder holds, on one page that opens without a network."""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import atomic
from ..config import read_yaml
from ..errors import UserError
from ..evaluation.metrics import read_predictions
from ..serving.examinations import examinations
from . import plots
from .page import inline, write_page

_EVALUATION_PICTURES = ("confusion_matrix", "per_class", "reliability", "errors", "samples", "cam")
_OPTIONAL = ("top1_leak_free", "top1_leak_free_low", "top1_leak_free_high", "ece")  # metrics that may be missing
_TABLES = ("predictions.csv", "per_class.csv", "confusion_matrix.csv", "reliability.csv", "metrics.json")


def write_run_report(run: Path) -> Path:
    """Draw plots/ and write report.html from the files of a run folder; what is not there is left out."""
    (run / "plots").mkdir(exist_ok=True)
    history = read_history(run / "history.csv")
    config = read_yaml(run / "config.yaml") if (run / "config.yaml").exists() else {}
    if history["epoch"]:
        mixing = config.get("augment", {})
        mixed = bool(mixing.get("mixup") or mixing.get("cutmix"))
        plots.curves(history, run / "plots" / "curves.png", mixed=mixed)
    context = {
        "title": f"Run {run.resolve().name}",
        "run": run.resolve().name,
        "curves": inline(run / "plots" / "curves.png"),
        "pace": pace(history),
        "evaluations": [_evaluation(folder, run) for folder in examinations(run)],
        "best": read_json(run / "best.json"),
        "environment": read_json(run / "environment.json"),
        "config": _shown(config),
        "files": [
            name for name in ("history.csv", "manifest.csv", "config.yaml", "metrics.json") if (run / name).exists()
        ],
    }
    return write_page("run.html", context, run / "report.html")


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
    if "epoch" not in history:
        raise UserError(f"{path} is damaged: it has no column `epoch`")
    return history


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no such file."""
    return atomic.read_json(path) if path.exists() else {}


def _evaluation(folder: Path, run: Path) -> dict[str, Any]:
    metrics = read_json(folder / "metrics.json")
    confused = _most_confused(folder / "predictions.csv", {row["id"]: row["name"] for row in metrics["per_class"]})
    return {
        "name": folder.name.removeprefix("eval-"),
        "metrics": dict.fromkeys(_OPTIONAL) | metrics,
        "pictures": {name: inline(folder / f"{name}.png") for name in _EVALUATION_PICTURES},
        "confused": confused,
        "border": read_json(folder / "cam.json").get("border_share"),
        "tables": [f"{folder.relative_to(run)}/{name}" for name in _TABLES if (folder / name).exists()],
    }


def _most_confused(path: Path, names: dict[str, str], most: int = 5) -> list[tuple[str, str, int]]:
    """Pairs (true, predicted, how often), most frequent first."""
    answers = read_predictions(path) if path.exists() else []
    counts = Counter((row.label, row.predicted) for row in answers if not row.correct)
    return [
        (names.get(true, true), names.get(predicted, predicted), count)
        for (true, predicted), count in counts.most_common(most)
    ]


def pace(history: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Epochs, minutes of training, and the median of the epochs' images per second; None where nothing is told."""
    if not history["epoch"]:
        return dict.fromkeys(("epochs", "minutes", "img_per_s"))
    return {
        "epochs": int(history["epoch"][-1]),
        "minutes": round(sum(history["seconds"]) / 60, 2),
        "img_per_s": round(statistics.median(history["img_per_s"]), 2),
    }


def _shown(tree: dict[str, Any], indent: str = "") -> str:
    """Nested settings as indented lines."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", _shown(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(lines)
