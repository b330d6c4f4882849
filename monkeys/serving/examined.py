"""What is examined: a split of the run's own photographs, or other ones whose classes the network knows."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import runtime
from ..config import Config
from ..data.labels import without_id
from ..data.leaks import leak_free, unseen
from ..data.manifest import ClassInfo, Manifest, Row, build_manifest
from ..errors import UserError
from ..paths import as_text
from .held_out import read_classes, read_manifest
from .network import Network

_OWN_SPLITS = re.compile(r"((train|val|test)(-last)?(-tta)?)?")  # what examinations of a run's own splits are called

log = logging.getLogger("monkeys")


@dataclass(frozen=True)
class Images:
    """What is examined. leak_free: [N] bool, False where a training image shows the same picture.

    from_validation: whether images of the run's validation are among them, on which epoch and calibration were chosen.
    """

    root: Path
    rows: tuple[Row, ...]
    leak_free: np.ndarray
    from_validation: bool

    def chosen(self, indices: np.ndarray) -> Images:
        """A part of them."""
        return replace(self, rows=tuple(self.rows[index] for index in indices), leak_free=self.leak_free[indices])

    def labels(self, network: Network) -> np.ndarray:
        """[N] int64, as the network counts classes."""
        return np.array([network.class_ids.index(row.label) for row in self.rows], dtype=np.int64)


def source_name(source: Path) -> str:
    """What the examination of another source is called: by its file or folder, and never like the run's own splits."""
    path = source.resolve()
    name = path.name.partition(".")[0] if path.is_file() else path.name
    return as_text(f"{path.parent.name or 'data'}-{name}" if _OWN_SPLITS.fullmatch(name) else name)


def own_images(run: Path, config: Config, split: str) -> Images:
    """A split of the run's own manifest."""
    root = config.data.root
    if not root.exists():
        raise UserError(f"{run}: no photographs at {root}; if moved, change data.root in {run / 'config.yaml'}")
    manifest = read_manifest(run, config)
    rows = manifest.of(split)
    if not rows:
        present = ", ".join(sorted({row.split for row in manifest.rows}))
        raise UserError(f"{run} has no {split} images; its splits: {present}")
    return Images(manifest.root, rows, leak_free(manifest, split), from_validation=split == "val")


def other_images(run: Path, config: Config, source: Path, network: Network) -> Images:
    """All images of another source, its classes matched by folder id or by name."""
    cache = runtime.cache_folder(config.data.cache_dir)
    manifest = build_manifest(source, cache_dir=cache, split=False, skip_unreadable=True)
    names = {info.id: without_id(info.name, info.id) for info in network.classes}
    counts = Counter(names.values())
    known = {name: label for label, name in names.items() if counts[name] == 1}
    known |= {info.name: info.id for info in network.classes} | {label: label for label in names}
    match = {info.id: known.get(info.id) or known.get(without_id(info.name, info.id)) for info in manifest.classes}
    unknown = [label for label, own in match.items() if own is None]
    _mention_other_names(source, manifest.classes, network)
    if unknown:
        log.warning("%s: left out, classes that the network does not know: %s", source, ", ".join(unknown))
    rows = tuple(row.relabelled(own) for row in manifest.rows if (own := match[row.label]))
    if not rows:
        raise UserError(f"{source}: none of its classes is known to {run} ({', '.join(network.class_ids)})")
    present = {row.label for row in rows}
    missing = [label for label in network.class_ids if label not in present]
    if missing:
        log.warning("%s has no images of: %s", source, ", ".join(missing))
    trained = _trained_on(run, config)
    free = unseen(rows, manifest.root, trained, cache_dir=cache)
    not_chosen_on = unseen(rows, manifest.root, trained, "val", cache_dir=cache)
    return Images(manifest.root, rows, free, from_validation=not not_chosen_on.all())


def _trained_on(run: Path, config: Config) -> Manifest:
    """The run's manifest, also where its photographs are gone, as on another machine."""
    if config.data.root.exists():
        return read_manifest(run, config)
    return Manifest.read(run / "manifest.csv", config.data.root, read_classes(run))


def _mention_other_names(source: Path, classes: Sequence[ClassInfo], network: Network) -> None:
    """A word on classes of one id and two names: they may be two classes."""
    names = {info.id: without_id(info.name, info.id) for info in network.classes}
    for info in classes:
        name = without_id(info.name, info.id)
        if info.id in names and len({info.id, name, names[info.id]}) == 3:
            log.warning(
                "%s: %s is called %s there and %s by the network; taken for one class, as the folder's name says",
                *(source, info.id, name, names[info.id]),
            )
