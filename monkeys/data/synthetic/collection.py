"""Draws the whole sample set: one generator per picture, several processes, all of it or nothing on the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...progress import progress
from ...runtime import usable_cores
from ..layout import SPLIT_NAMES
from ..pool import in_processes
from .anatomy import draw_monkey
from .nuisance import Nuisance, draw_nuisance
from .scene import backdrop, cover, develop
from .species import SPECIES, label_table

LABEL_TABLE = "monkey_labels.txt"
_WORK_SIDE = 440  # drawn at most this large (square root of the area), then enlarged: drawing is what takes time


@dataclass(frozen=True)
class Draft:
    """Which picture of which set. Its generator depends on nothing else, so pictures can be drawn in any order."""

    seed: int
    split: str
    species: int
    index: int
    sizes: tuple[int, int] = (200, 3000)

    def generator(self) -> np.random.Generator:
        """Randomness that no other picture shares."""
        split = tuple(SPLIT_NAMES).index(self.split)
        return np.random.default_rng((self.seed, split, self.species, self.index))

    def nuisance(self) -> Nuisance:
        """The chance parameters of this picture."""
        return draw_nuisance(self.generator(), self.sizes)

    def paint(self) -> NDArray[np.uint8]:
        """Draw the picture: RGB [height, width, 3]."""
        rng = self.generator()
        nuisance = draw_nuisance(rng, self.sizes)
        shrink = min(1.0, _WORK_SIDE / np.sqrt(nuisance.width * nuisance.height))
        canvas = backdrop(nuisance, rng, round(nuisance.height * shrink), round(nuisance.width * shrink))
        draw_monkey(canvas, nuisance, SPECIES[self.species].traits, rng)
        cover(canvas, nuisance, rng)
        return develop(canvas, nuisance, rng)

    def path(self) -> Path:
        """Where the picture lies in its set, e.g. training/n0/n0-train-0007.jpg."""
        label = SPECIES[self.species].id
        name = f"{label}-{self.split}-{self.index:04d}{self.nuisance().suffix}"
        return Path(SPLIT_NAMES[self.split], label, name)

    def save(self, root: Path) -> None:
        """Draw the picture and write it under `root`, whose folders exist. Raises OSError."""
        path, nuisance = root / self.path(), self.nuisance()
        quality = [cv2.IMWRITE_JPEG_QUALITY, nuisance.quality, cv2.IMWRITE_PNG_COMPRESSION, 3]
        _, coded = cv2.imencode(path.suffix, self.paint()[..., ::-1], quality)
        path.write_bytes(coded.tobytes())


def draw_set(
    out: Path,
    *,
    per_class: Mapping[str, int],
    seed: int = 0,
    sizes: tuple[int, int] = (200, 3000),
    workers: int | None = None,
) -> None:
    """Draw ten species into out/{training,validation,test}/{n0..n9} and write a table of their names beside them.

    per_class: pictures of each species in "train", "val" and "test"; a split of none is left out.
    sizes: least and most pixels of a side. workers: processes, by default one per usable core; the files do not
    depend on it. Nothing is left behind unless all is drawn. Raises UserError if `out` holds anything already.
    """
    _check(out, per_class, sizes)
    splits = [split for split in SPLIT_NAMES if per_class.get(split, 0)]
    drafts = [
        Draft(seed, split, species, index, sizes)
        for split in splits
        for species in range(len(SPECIES))
        for index in range(per_class[split])
    ]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
            unfinished = Path(folder, "set")
            for path in {draft.path().parent for draft in drafts}:
                (unfinished / path).mkdir(parents=True)
            (unfinished / LABEL_TABLE).write_text(label_table(per_class), encoding="utf-8")
            tasks = [(draft, unfinished) for draft in drafts]
            saved = in_processes(Draft.save, tasks, usable_cores() if workers is None else workers)
            for _ in progress(saved, total=len(tasks), desc="drawing"):
                pass
            unfinished.replace(out)
    except OSError as error:
        raise UserError(f"{out}: the sample set cannot be written: {error.strerror or error}") from error


def _check(out: Path, per_class: Mapping[str, int], sizes: tuple[int, int]) -> None:
    unknown = sorted(set(per_class) - set(SPLIT_NAMES))
    if unknown:
        raise UserError(f"unknown split {unknown[0]!r}; there are: {', '.join(SPLIT_NAMES)}")
    if min(per_class.values(), default=0) < 0 or not any(per_class.values()):
        raise UserError(f"pictures per class must be counts, at least one of them above 0, not {dict(per_class)}")
    if not 64 <= sizes[0] <= sizes[1]:
        raise UserError(f"sizes must be the least and the most pixels of a side, at least 64, not {sizes}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already and is not empty; name another folder or delete it")
