"""A run's own photographs, as its network takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import runtime
from ..config import Config
from ..data.cache import open_pictures
from ..data.dataset import Batch, Dataset, as_they_are, plain_collate
from ..data.loader import load, plain_order
from ..data.manifest import ClassInfo, Manifest, Row, locate
from ..errors import UserError
from .network import Description

BATCH = 32


def read_classes(run: Path) -> tuple[ClassInfo, ...]:
    """classes.json of a run."""
    try:
        classes = json.loads((run / "classes.json").read_text(encoding="utf-8"))
        return tuple(ClassInfo(item["id"], item["name"]) for item in classes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run / 'classes.json'} cannot be read: {error}") from None


def read_manifest(run: Path, config: Config) -> Manifest:
    """The photographs and splits that a run was trained with; they are never drawn again."""
    classes = read_classes(run)
    root = locate(config.data.root, runtime.cache_folder(config.data.cache_dir))
    return Manifest.read(run / "manifest.csv", root, classes)


def batches(about: Description, rows: Sequence[Row], root: Path, config: Config) -> Iterator[Batch]:
    """The rows' images in their order, `BATCH` at a time; the last batch may be short."""
    labels = np.array([about.class_ids.index(row.label) for row in rows], dtype=np.int64)
    pictures = open_pictures(
        tuple(rows),
        root,
        about.preprocess,
        cache=config.data.cache,
        cache_dir=runtime.cache_folder(config.data.cache_dir),
        workers=runtime.usable_cores(),
    )
    dataset = Dataset(lambda epoch: pictures, labels, as_they_are, seed=0)
    return load(dataset, plain_order(len(dataset), BATCH), plain_collate(about.preprocess, len(about.classes)))
