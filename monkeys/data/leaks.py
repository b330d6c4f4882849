"""Which of the held-out images show a picture that was trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import runtime
from .look import signatures_of
from .manifest import Manifest, Row
from .twins import matches

log = logging.getLogger("monkeys")


def leak_free(manifest: Manifest, split: str) -> np.ndarray:
    """[N] bool over the rows of a split: False where a training image shows the same picture."""
    training = {row.group for row in manifest.of("train")}
    return np.array([row.group not in training for row in manifest.of(split)], dtype=bool)


def unseen(rows: Sequence[Row], root: Path, trained: Manifest, *, cache_dir: Path) -> np.ndarray:
    """[N] bool over rows of another folder: False where a training image of the manifest shows the same picture.

    Where the training images are gone or others, only byte-identical copies are recognised, which is said.
    """
    training = trained.of("train")
    digests = {row.digest for row in training}
    free = np.array([row.digest not in digests for row in rows], dtype=bool)
    left = np.flatnonzero(free)
    if len(left) and training:
        workers = runtime.usable_cores()
        mine, _ = signatures_of(root, [rows[index].path for index in left], cache_dir, workers)
        theirs, now = signatures_of(trained.root, [row.path for row in training], cache_dir, workers)
        gone = sum(digest != row.digest for digest, row in zip(now, training, strict=True))
        if gone:
            log.warning(
                "%d of the %d images of training are not at %s as they were: of those, only byte-identical copies are "
                "recognised (data.root in the run's config.yaml says where they are)",
                *(gone, len(training), trained.root),
            )
        free[left] = ~matches(mine, theirs)
    return free
