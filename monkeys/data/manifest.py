"""The list that everything else goes by: each image with its class, split, picture group and digest."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from .. import atomic
from ..errors import UserError
from .audit import Audit, audit
from .layout import ClassInfo, locate
from .look import ODD
from .splits import Plan, divide

__all__ = ["ClassInfo", "Manifest", "Row", "build_manifest", "locate"]

log = logging.getLogger("monkeys")

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Row:
    """An image. path: relative to the root, posix; group: the picture it shows; digest: SHA-256 of its bytes."""

    path: str
    label: str
    split: str
    group: str
    digest: str
    width: int
    height: int

    def relabelled(self, label: str) -> Row:
        """The same image as another class."""
        return replace(self, label=label)


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Manifest:
    """Rows in the order of classes and paths; classes in natural order."""

    root: Path
    classes: tuple[ClassInfo, ...]
    rows: tuple[Row, ...]

    def of(self, split: str) -> tuple[Row, ...]:
        """The rows of train, val or test."""
        return tuple(row for row in self.rows if row.split == split)

    @property
    def label_index(self) -> dict[str, int]:
        """Class id -> number of the network's output."""
        return {info.id: index for index, info in enumerate(self.classes)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of classes and rows; the same wherever the folder lies."""
        ids = "\n".join(info.id for info in self.classes).encode(*_ENCODING)
        return hashlib.sha256(ids + b"\n\n" + self._csv()).hexdigest()

    def write(self, path: Path) -> None:
        """manifest.csv."""
        atomic.write_bytes(path, self._csv())

    def _csv(self) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, column) for column in COLUMNS] for row in self.rows)
        return text.getvalue().encode(*_ENCODING)

    @staticmethod
    def read(path: Path, root: Path, classes: tuple[ClassInfo, ...]) -> Manifest:
        """The reverse of `write`; UserError where the file is missing or not a manifest. root: see `locate`."""
        try:
            lines = csv.DictReader(io.StringIO(path.read_bytes().decode(*_ENCODING), newline=""), strict=True)
            missing = set(COLUMNS[:5]) - set(lines.fieldnames or ())
            rows = tuple(_row(line) for line in lines) if not missing else ()
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
            raise UserError(f"{path} is not a manifest that can be read: {error}") from None
        if missing:
            raise UserError(f"{path} is not a manifest: no column {', '.join(sorted(missing))}")
        unknown = {row.label for row in rows} - {info.id for info in classes}
        if unknown or any(row.split not in SPLITS for row in rows):
            raise UserError(
                f"{path} is not a manifest of these classes (unknown: {', '.join(sorted(unknown)) or 'split'})"
            )
        return Manifest(root, classes, rows)


_ENCODING = ("utf-8", "surrogateescape")  # file names need not be text


def build_manifest(
    root: Path,
    *,
    cache_dir: Path,
    val_fraction: float = 0.15,
    test_fraction: float = 0.0,
    folds: int | None = None,
    fold: int = 0,
    split_seed: int = 0,
    grouped: bool = True,
    exclude: Sequence[str] = (),
    odd: Sequence[str] = (),
    skip_unreadable: bool = False,
    split: bool = True,
    workers: int = 0,
) -> Manifest:
    """Examine a folder, archive or list file and divide it; splits that it has itself are kept as they are.

    exclude: paths or patterns left out; odd: kinds of `ODD` left out; split=False: nothing is drawn, and images without
    a split of their own count as train. Fractions are of the training images of each class. Raises UserError where the
    source cannot be trained on, unreadable files included unless they are to be skipped.
    """
    examined = audit(root, cache_dir=cache_dir, workers=workers, exclude=exclude)
    manifest = _usable(examined, odd, skip_unreadable)
    _check(manifest, root, examined, split)
    _mention_crowd(manifest)
    if split:
        if not grouped:
            log.warning("data.grouped=false: copies and twins of one picture may fall on both sides of the split")
        if folds and any(row.split == "val" for row in manifest.rows):
            raise UserError(f"{root} has validation images of its own; data.folds=null takes them")
        manifest = _divided(manifest, Plan(val_fraction, test_fraction, folds, fold, split_seed), grouped)
        _check_divided(manifest, root)
    return replace(manifest, rows=tuple(replace(row, split=row.split or "train") for row in manifest.rows))


def _usable(examined: Audit, odd: Sequence[str], skip_unreadable: bool) -> Manifest:
    """Rows of what can be read and is not left out; the split is empty where the source has none."""
    unknown = sorted(set(odd) - set(ODD))
    if unknown:
        raise UserError(f"data.odd: unknown kinds {', '.join(unknown)}; known: {', '.join(ODD)}")
    bad = [record for record in dict.fromkeys(examined.records) if not record.readable]
    if bad:
        named = "; ".join(f"{record.path}: {record.reason}" for record in bad[:3])
        more = f"; and {len(bad) - 3} more, which audit.json of tools/explore.py lists" if len(bad) > 3 else ""
        some = f"{len(bad)} of {len(set(examined.records))} files cannot be read: {named}{more}"
        if not skip_unreadable:
            raise UserError(f"{some}; repair or exclude them (data.exclude), or set data.skip_unreadable=true")
        log.warning("%s; left out", some)
    left_out = Counter(kind for record in examined.records for kind in {kind for kind, _ in record.odd} & set(odd))
    if left_out:
        log.warning("left out (data.odd): %s", ", ".join(f"{count} {kind}" for kind, count in left_out.items()))
    rows = tuple(
        Row(entry.path, entry.label, entry.split, group, record.digest, record.width, record.height)
        for entry, record, group in zip(examined.source.entries, examined.records, examined.groups, strict=True)
        if record.readable and not {kind for kind, _ in record.odd} & set(odd)
    )
    return Manifest(examined.source.root, examined.source.classes, rows)


def _check(manifest: Manifest, root: Path, examined: Audit, split: bool) -> None:
    """UserError for what nothing can be learned from."""
    if not manifest.rows:
        raise UserError(f"{root}: none of its {len(examined.records)} files is an image that can be used")
    if not split:
        return
    counts = Counter(row.label for row in manifest.rows)
    empty = [info.id for info in manifest.classes if not counts[info.id]]
    if empty:
        advice = "fill or remove what is empty, or leave it out with -o data.exclude=FOLDER"
        raise UserError(f"{root}: no readable image in {', '.join(empty)}; {advice}")
    trained = {row.label for row in manifest.rows if row.split in ("", "train")}
    if not trained:
        raise UserError(f"{root}: no training images; expected a folder `training` or `train`, or class folders alone")
    strange = [info.id for info in manifest.classes if info.id not in trained]
    if strange:
        raise UserError(f"{root}: held-out images of {', '.join(strange)}, which training has no images of")
    if len(trained) < 2:
        raise UserError(f"{root}: only one class ({manifest.classes[0].id}); a classifier needs two or more")


def _mention_crowd(manifest: Manifest) -> None:
    """Say so where pictures are so much alike that a large part of them counts as one."""
    counts = Counter(row.group for row in manifest.rows)
    group, size = counts.most_common(1)[0]
    if size > max(50, len(manifest.rows) // 20):
        example = next(row.path for row in manifest.rows if row.group == group)
        log.warning(
            "%d of %d images count as one picture (such as %s) and stay on one side of the split; if they differ, "
            "data.grouped=false divides them all the same",
            *(size, len(manifest.rows), example),
        )


def _divided(manifest: Manifest, plan: Plan, grouped: bool) -> Manifest:
    """With the missing splits drawn from training."""
    rows = manifest.rows
    groups = [row.group if grouped else row.path for row in rows]
    splits = divide([row.label for row in rows], groups, [row.split for row in rows], plan)
    divided = (replace(row, split=split) for row, split in zip(rows, splits, strict=True))
    return replace(manifest, rows=tuple(divided))


def _check_divided(manifest: Manifest, root: Path) -> None:
    """UserError where nothing is held out; a word on classes that are not."""
    held_out = {row.label for row in manifest.of("val")}
    missing = [info.id for info in manifest.classes if info.id not in held_out]
    if not held_out:
        raise UserError(f"{root}: no validation images can be drawn, as each class has only one picture")
    if missing:
        log.warning("%s: no validation images of %s", root, ", ".join(missing))


def _row(line: dict[str, str]) -> Row:
    values = {column: line[column] for column in COLUMNS[:5]}
    if None in values.values():
        raise ValueError("a line is cut off")
    return Row(**values, width=int(line.get("width") or 0), height=int(line.get("height") or 0))
