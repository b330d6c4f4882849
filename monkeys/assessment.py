"""Half of the composition root: a run's network is examined on a split, a folder or a list."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from . import atomic, runtime
from .config import load_config
from .data.cache import open_pictures
from .data.dataset import Batch, Collate, Dataset, as_they_are
from .data.image import decode
from .data.loader import load, plain_order
from .data.manifest import ClassInfo, Manifest, Row, build_manifest, leak_free
from .errors import UserError
from .evaluation.calibration import fit_temperature as best_temperature
from .evaluation.metrics import Predictions, evaluate_predictions
from .progress import progress
from .reports.evaluation import write_evaluation
from .serving.network import RECORD, Network, load_network, read_record
from .training.engine import predict
from .training.tta import predict_with_tta

log = logging.getLogger("monkeys")

BATCH = 32


@dataclass(frozen=True)
class Assessment:
    """What an examination found."""

    out: Path
    metrics: dict[str, Any]
    predictions: Predictions
    network: Network
    rows: tuple[Row, ...]
    root: Path


def assess(
    run: Path,
    *,
    split: str = "val",
    source: Path | None = None,
    sample: int = 0,
    seed: int = 0,
    tta: bool = False,
    out: Path | None = None,
) -> Assessment:
    """Predict a split of the run's own manifest, or all images of another source, and write every artefact.

    sample: only so many images, drawn with `seed`. Writes `RUN/eval-<split or source name>/` unless told otherwise.
    """
    network = load_network(run)
    name = source.name.partition(".")[0] if source else split
    root, rows, free = _foreign(run, source, network) if source else _own(run, split)
    chosen = _sample(len(rows), sample, seed)
    rows, free = tuple(rows[i] for i in chosen), free[chosen]
    predictions = Predictions(
        paths=tuple(row.path for row in rows),
        labels=np.array([network.class_ids.index(row.label) for row in rows], dtype=np.int64),
        logits=_logits(network, rows, root, run, tta),
        leak_free=free,
    )
    selected = source is None and split == "val"
    temperature = network.temperature
    metrics = evaluate_predictions(
        predictions, network.classes, split=name, selected=selected, temperature=temperature
    )
    target = out or run / f"eval-{name}"
    write_evaluation(target, predictions, network.classes, metrics, lambda path: decode(root / path), seed=seed, temperature=temperature)
    return Assessment(target, metrics, predictions, network, rows, root)


def fit_temperature(run: Path) -> float:
    """Calibrate the run's network on its validation split and save the temperature with the weights."""
    network = load_network(run)
    root, rows, _ = _own(run, "val")
    labels = np.array([network.class_ids.index(row.label) for row in rows], dtype=np.int64)
    temperature = best_temperature(_logits(network, rows, root, run, tta=False), labels)
    atomic.write_json(run / RECORD, read_record(run) | {"temperature": temperature})
    return temperature


def read_manifest(run: Path, root: Path) -> Manifest:
    """The photographs and splits that a run was trained with; they are never drawn again."""
    try:
        classes = json.loads((run / "classes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{run / 'classes.json'} cannot be read: {error}") from None
    return Manifest.read(run / "manifest.csv", root, tuple(ClassInfo(item["id"], item["name"]) for item in classes))


def _own(run: Path, split: str) -> tuple[Path, tuple[Row, ...], np.ndarray]:
    config = load_config(run / "config.yaml")
    manifest = read_manifest(run, config.data.root)
    rows = manifest.of(split)
    if not rows:
        raise UserError(f"{run} has no {split} images; splits in its manifest: {sorted({r.split for r in manifest.rows})}")
    return manifest.root, rows, leak_free(manifest, split)


def _foreign(run: Path, source: Path, network: Network) -> tuple[Path, tuple[Row, ...], np.ndarray]:
    """All images of another source, its classes matched by folder id or by name."""
    config = load_config(run / "config.yaml")
    manifest = build_manifest(source, cache_dir=runtime.cache_folder(config.data.cache_dir), split=False)
    known = {info.id: info.id for info in network.classes} | {info.name: info.id for info in network.classes}
    match = {info.id: known.get(info.id) or known.get(info.name) for info in manifest.classes}
    unknown = [label for label, own in match.items() if own is None]
    if unknown:
        log.warning("%s: left out, classes that the network does not know: %s", source, ", ".join(unknown))
    missing = sorted(set(network.class_ids) - set(match.values()) - {None})
    if missing:
        log.warning("%s: has no images of %s", source, ", ".join(missing))
    rows = tuple(row.relabelled(match[row.label]) for row in manifest.rows if match[row.label])
    if not rows:
        raise UserError(f"{source}: none of its classes is known to {run} ({', '.join(network.class_ids)})")
    return manifest.root, rows, _not_in_training(run, config.data.root, rows)


def _sample(count: int, wanted: int, seed: int) -> np.ndarray:
    """Indices of all images, or of `wanted` random ones, in order."""
    if not wanted or wanted >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
