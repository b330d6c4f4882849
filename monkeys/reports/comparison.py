"""Runs side by side: the settings that differ, accuracy with intervals, McNemar's test, speed, and curves."""

from __future__ import annotations

import csv
import io
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .. import atomic
from ..config import read_yaml
from ..errors import UserError
from ..evaluation.metrics import Answer, mcnemar, read_predictions
from . import plots
from .comparison_tables import Pair, Result, markdown
from .history import pace, read_history, read_json

log = logging.getLogger("monkeys")

FILES = ("comparison.csv", "settings.csv", "pairs.csv", "curves.png", "comparison.md")
NOT_COMPARED = ("run.name", "run.dir")  # differ by nature


@dataclass(frozen=True)
class _Run:
    name: str
    settings: Mapping[str, Any]
    result: Result
    history: Mapping[str, Sequence[float]]
    answers: Mapping[tuple[str, str], Answer]  # by path and digest of the image


def compare_runs(runs: Sequence[Path], out: Path) -> Path:
    """Write comparison.md, comparison.csv, settings.csv, pairs.csv and curves.png; returns comparison.md.

    Raises UserError for fewer than two runs, and for a folder that holds no finished run.
    """
    if len(runs) < 2:
        raise UserError("a comparison needs at least two run folders")
    read = [_read(folder, name) for folder, name in zip(runs, _names(runs), strict=True)]
    settings = differing({run.name: run.settings for run in read})
    pairs = [_pair(first, second) for first, second in itertools.combinations(read, 2)]
    results = [run.result for run in read]
    atomic.refuse_foreign(out, ["comparison.csv"], FILES, "comparison")
    atomic.make_folder(out)
    _csv(out / "comparison.csv", [field.name for field in fields(Result)], (asdict(row).values() for row in results))
    _csv(out / "settings.csv", ["setting", *(run.name for run in read)], ([k, *v] for k, v in settings.items()))
    _csv(out / "pairs.csv", [field.name for field in fields(Pair)], (asdict(pair).values() for pair in pairs))
    histories = {run.name: run.history for run in read if run.history["epoch"]}
    if histories:
        plots.compare_curves(histories, out / "curves.png")
    atomic.write_text(out / "comparison.md", markdown(results, settings, pairs, drawn=bool(histories)))
    return out / "comparison.md"


def differing(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Dotted key -> its value in each run, in order; only keys whose values differ. A missing value is a dash."""
    keys = dict.fromkeys(key for values in settings.values() for key in values if key not in NOT_COMPARED)
    table = {key: [values.get(key, "–") for values in settings.values()] for key in keys}
    return {key: [str(value) for value in row] for key, row in table.items() if any(value != row[0] for value in row)}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _names(runs: Sequence[Path]) -> list[str]:
    """Folder names; where they repeat, with as many of the folders above as tell them apart."""
    paths = [path.resolve() for path in runs]
    if len(set(paths)) < len(paths):
        raise UserError("the same run folder is named twice")
    deepest = max(len(path.parts) for path in paths)
    tries = (["/".join(path.parts[-depth:]) for path in paths] for depth in range(1, deepest + 1))
    return next(names for names in tries if len(set(names)) == len(names))


def _read(folder: Path, name: str) -> _Run:
    if not folder.is_dir():
        raise UserError(f"no such run folder: {folder}")
    evaluated = folder / "eval-val" / "metrics.json"
    whole = read_json(folder / "metrics.json")
    metrics = read_json(evaluated) if evaluated.exists() else whole
    if metrics and whole and metrics["n"] < whole["n"]:
        log.warning(
            "%s: eval-val holds a sample of %d of its %d images; `eval %s` makes it whole again",
            *(folder, metrics["n"], whole["n"], folder),
        )
    if not metrics:
        raise UserError(f"{folder} holds no validation metrics (eval-val/metrics.json); let its training finish first")
    settings = read_yaml(folder / "config.yaml") if (folder / "config.yaml").exists() else {}
    history = read_history(folder / "history.csv")
    return _Run(name, flat(settings), _result(name, metrics, history), history, _answers(folder))


def _result(name: str, metrics: Mapping[str, Any], history: Mapping[str, Sequence[float]]) -> Result:
    values: dict[str, Any] = {field.name: metrics.get(field.name) for field in fields(Result)}
    return Result(**values | {"run": name} | pace(history))


def _answers(folder: Path) -> dict[tuple[str, str], Answer]:
    """By path and content, so that data of the same name in two places are not taken for the same images."""
    path, digests = folder / "eval-val" / "predictions.csv", {}
    if not path.exists():
        return {}
    if (folder / "manifest.csv").exists():
        with (folder / "manifest.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            digests = {row["path"]: row["digest"] for row in csv.DictReader(file)}
    return {(answer.path, digests.get(answer.path, "")): answer for answer in read_predictions(path)}


def _pair(a: _Run, b: _Run) -> Pair:
    reason = ""
    if not a.answers or not b.answers:
        reason = "eval-val/predictions.csv is missing"
    elif a.answers.keys() != b.answers.keys():
        shared = len(a.answers.keys() & b.answers.keys())
        reason = f"not the same images ({len(a.answers)} and {len(b.answers)}, {shared} in common)"
    if reason:
        return Pair(a.name, b.name, 0, 0, 0, None, reason)
    right_a = [answer.correct for answer in a.answers.values()]
    right_b = [b.answers[key].correct for key in a.answers]
    both = list(zip(right_a, right_b, strict=True))
    only_a, only_b = both.count((True, False)), both.count((False, True))
    return Pair(a.name, b.name, len(both), only_a, only_b, mcnemar(right_a, right_b))


def _csv(path: Path, head: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    atomic.write_text(path, text.getvalue())
