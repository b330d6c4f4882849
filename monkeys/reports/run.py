"""report.html of a run: everything that its folder holds, on one page that opens without a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..config import read_yaml
from ..evaluation.metrics import read_predictions
from ..serving.examinations import examinations
from . import plots
from .history import pace, read_history, read_json
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


def _shown(tree: dict[str, Any], indent: str = "") -> str:
    """Nested settings as indented lines."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", _shown(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(lines)
