"""A data folder in the plain layout, copied from any source or drawn; repeating it changes nothing."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from .. import atomic
from ..errors import UserError
from ..paths import expand_home
from ..progress import progress
from .audit import Audit, audit
from .image import read_file
from .layout import SPLIT_NAMES
from .manifest import Manifest, build_manifest
from .synthetic import draw_set

KAGGLE = "slothkong/10-monkey-species"
_LONGEST = 255  # bytes of a file's name, with most file systems
MARK = ".prepared.json"  # by which a repeated run knows the folder as its own


def prepare(source: Path, out: Path, *, cache_dir: Path, workers: int = 0) -> Manifest:
    """Copy the readable images of a folder, archive or list file to out/training/<class>/… and write manifest.csv.

    Splits of the source are kept as folders (validation, test) and none is made; manifest.csv has the split that
    training draws by default. The source is only read. Raises UserError, before anything is written, for a source that
    cannot be trained on, and for an `out` that lies in the source or holds anything else.
    """
    mark = {"source": "copied"}
    _check_place(expand_home(source), out, mark)
    examined = audit(source, cache_dir=cache_dir, workers=workers)
    build_manifest(source, cache_dir=cache_dir, workers=workers, skip_unreadable=True)  # refuses what is useless
    plan = _plan(examined)
    _check_content(out, plan)
    try:
        _mark(out, mark)
        _copy(examined.source.root, out, plan)
        names = [(info.id, info.name) for info in examined.source.classes if info.name != info.id]
        if names:
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows([("Label", "Name"), *names])
            atomic.write_text(out / "labels.csv", table.getvalue())
    except OSError as error:
        raise UserError(atomic.explain(error, out)) from None
    return _listed(out, cache_dir, workers)


def prepare_synthetic(
    out: Path, *, per_class: Mapping[str, int], seed: int, cache_dir: Path, workers: int = 0
) -> Manifest:
    """Draw the sample set into `out`, unless it is there already, and write manifest.csv."""
    mark = {"source": "drawn", "per_class": dict(per_class), "seed": seed}
    _check_place(None, out, mark)
    if not (out / MARK).exists():
        draw_set(out, per_class=per_class, seed=seed, workers=workers or None)
        _mark(out, mark)
    return _listed(out, cache_dir, workers)


def download() -> Path:
    """Kaggle's ten-monkeys set by way of the optional package kagglehub; returns its folder."""
    try:
        import kagglehub
    except ImportError:
        raise UserError("downloading from Kaggle needs one more package: pip install kagglehub") from None
    try:
        return Path(kagglehub.dataset_download(KAGGLE))
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"Kaggle's {KAGGLE} cannot be downloaded: {said}; fetch the archive by hand and name it"
        ) from None


def _listed(out: Path, cache_dir: Path, workers: int) -> Manifest:
    manifest = build_manifest(out, cache_dir=cache_dir, workers=workers)
    try:
        manifest.write(out / "manifest.csv")
    except OSError as error:
        raise UserError(atomic.explain(error, out / "manifest.csv")) from None
    return manifest


def _check_place(source: Path | None, out: Path, mark: dict[str, Any]) -> None:
    """UserError where `out` is not ours to write to."""
    if source and source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies in the source {source}, which is never written to; choose another --out")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out names a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        found = json.loads((out / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{out} is not empty and was not made by prepare; choose an empty or new --out") from None
    if found != mark:
        raise UserError(f"{out} holds another set ({_words(found)}, not {_words(mark)}); choose an empty or new --out")


def _words(mark: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in mark.items())


def _mark(out: Path, mark: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if not (out / MARK).exists():
        atomic.write_json(out / MARK, mark)


def _plan(examined: Audit) -> dict[str, tuple[str, str, int]]:
    """Place below `out` -> (path in the source, digest, bytes). Names that clash get the content's digest in front."""
    plan: dict[str, tuple[str, str, int]] = {}
    taken: dict[str, str] = {}
    for entry, record in zip(examined.source.entries, examined.records, strict=True):
        if not record.readable:
            continue
        folder = f"{SPLIT_NAMES[entry.split or 'train']}/{_folder_name(entry.label)}"
        place = f"{folder}/{PurePosixPath(entry.path).name}"
        if taken.get(place.casefold()) not in (None, entry.path):
            place = f"{folder}/{_prefixed(PurePosixPath(entry.path), record.digest[:12])}"
        if place.casefold() in taken:
            continue  # the same name with the same content
        taken[place.casefold()] = entry.path
        plan[place] = (entry.path, record.digest, record.bytes)
    return plan


def _prefixed(path: PurePosixPath, mark: str) -> str:
    """The file's name behind a mark, cut where it would be longer than file systems take."""
    ending = path.suffix if len(path.suffix) <= len(".jpeg") else ""  # what follows a dot may be a sentence
    stem, room = os.fsencode(path.name.removesuffix(ending)), _LONGEST - len(mark) - 1 - len(os.fsencode(ending))
    if len(stem) > room:
        stem = stem[:room].decode("utf-8", "ignore").encode()  # no half of a character
    return f"{mark}-{os.fsdecode(stem)}{ending}"


def _folder_name(label: str) -> str:
    if label.startswith(".") or any(character in label for character in "/\\\0"):
        raise UserError(f"the label {label!r} cannot be the name of a folder; rename it in the list file")
    return label


def _check_content(out: Path, plan: dict[str, tuple[str, str, int]]) -> None:
    """UserError where `out` holds images of another source, or the disk is too small for the copy."""
    for folder in SPLIT_NAMES.values():
        for path in sorted((out / folder).rglob("*")):
            place = path.relative_to(out).as_posix()
            if path.is_file() and not path.name.startswith(".") and place not in plan:
                raise UserError(f"{out} holds images of another source, such as {place}; choose an empty or new --out")
    missing = sum(size for place, (_, _, size) in plan.items() if not (out / place).exists())
    home = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(home).free
    if missing > free:
        raise UserError(
            f"{out}: {missing / 1e6:.0f} MB to copy, but only {free / 1e6:.0f} MB free; choose another disk"
        )


def _copy(root: Path, out: Path, plan: dict[str, tuple[str, str, int]]) -> None:
    """Copies, each whole or not at all; what is there already with the same bytes stays."""
    for place, (path, digest, _) in progress(plan.items(), total=len(plan), desc="copying", unit="file"):
        target = out / place
        if target.exists():
            if hashlib.sha256(read_file(target)).hexdigest() != digest:
                raise UserError(f"{target} differs from {root / path}; choose an empty or new --out")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{digest[:16]}.part")  # shorter than any name
        shutil.copyfile(root / path, unfinished)
        os.replace(unfinished, target)  # noqa: PTH105
