"""Which of the held-out images show a picture that was trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import runtime
from .layout import SPLIT_NAMES
from .look import signatures_of
from .manifest import Manifest, Row
from .twins import matches

log = logging.getLogger("monkeys")


def leak_free(manifest: Manifest, split: str) -> np.ndarray:
    """[N] bool over the rows of a split: False where a training image shows the same picture."""
    training = {row.group for row in manifest.of("train")}
    return np.array([row.group not in training for row in manifest.of(split)], dtype=bool)


def unseen(rows: Sequence[Row], root: Path, own: Manifest, split: str = "train", *, cache_dir: Path) -> np.ndarray:
    """[N] bool over rows of another folder: False where an image of a split of the manifest shows the same picture.

    Where that split's images are gone or others, only byte-identical copies are recognised, which is said.
    """
    known = own.of(split)
    digests = {row.digest for row in known}
    free = np.array([row.digest not in digests for row in rows], dtype=bool)
    left = np.flatnonzero(free)
    if len(left) and known:
        workers = runtime.usable_cores()
        mine, _ = signatures_of(root, [rows[index].path for index in left], cache_dir, workers)
        theirs, now = signatures_of(own.root, [row.path for row in known], cache_dir, workers)
        kept = np.array([digest == row.digest for digest, row in zip(now, known, strict=True)])
        if gone := int((~kept).sum()):
            log.warning(
                "%d of the %d %s images are not at %s as they were: of those, only byte-identical copies are "
                "recognised (data.root in the run's config.yaml says where they are)",
                *(gone, len(known), SPLIT_NAMES[split], own.root),
            )
        free[left] = ~matches(mine, theirs[kept])
    return free
