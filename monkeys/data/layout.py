"""Where the pictures of a source are and what they show: class folders, split folders, archives, list files.

Nothing is opened here but list files and label tables: what is an image, decoding decides, not a file's name. Beside
the class folders all files are ignored; inside them only names that start with a dot and what file managers leave.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..paths import expand_home, sha256
from .archives import is_archive, unpack
from .exclude import Exclusion
from .labels import check_names, read_names
from .lists import lists_in, read_lists

log = logging.getLogger("monkeys")

SPLITS = {
    **{"training": "train", "train": "train", "validation": "val", "val": "val", "valid": "val"},
    **{"testing": "test", "test": "test"},
}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}  # of its folder, and for people
LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}


@dataclass(frozen=True)
class ClassInfo:
    """A class: its folder (or label in a list file), and its name for people."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a class. path: relative to the source's root, posix; split: empty where the source has none."""

    path: str
    label: str
    split: str


@dataclass(frozen=True)
class Source:
    """All files of a set in the order of their classes and paths, and the classes in natural order."""

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[ClassInfo, ...]


def natural(text: str) -> tuple[list[str | int], str]:
    """Sorting key by which n2 comes before n10."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", text))], text


def locate(root: Path, cache_dir: Path) -> Path:
    """The folder that the paths of a source are relative to; an archive is unpacked into the cache first."""
    root = expand_home(root)
    if root.is_dir():
        return root
    if not root.exists():
        raise UserError(f"no such data folder, archive or list file: {root}")
    if is_archive(root):
        digest = sha256(root)
        return unpack(root, cache_dir / "archives" / digest[:16], digest=digest)
    return root.parent


def read_source(root: Path, cache_dir: Path, exclude: Sequence[str] = ()) -> Source:
    """Recognise the layout of a folder, archive or list file and list its files.

    exclude: paths or patterns relative to the source's folder; a folder stands for all in it, and a name without a
    slash for every folder or file of that name. Raises UserError where there is no such source, or nothing in it that
    has the form of classes.
    """
    root = expand_home(root)
    base, folders = locate(root, cache_dir), dict[str, str]()
    try:
        if root.is_file() and not is_archive(root):
            entries, tables = [Entry(*found) for found in read_lists(root)], [base]
        else:
            entries, folders, tables = _from_folder(base, root)
    except OSError as error:
        raise UserError(f"{error.filename or root} cannot be read: {error.strerror}") from None
    entries, empty = _without(entries, folders, exclude)
    if not entries:
        raise UserError(f"{root}: no images found; expected one folder per class, or a list file of `path label` lines")
    if folders and not any(entry.split for entry in entries):
        _doubt_classes(root, base, entries, list(folders))
    ids = sorted({entry.label for entry in entries} | empty, key=natural)
    check_names(root, ids, (entry.path for entry in entries))
    names = read_names(tables, ids)
    order = {label: index for index, label in enumerate(ids)}
    entries.sort(key=lambda entry: (order[entry.label], entry.path, entry.split))
    return Source(base, tuple(entries), tuple(ClassInfo(label, names[label]) for label in ids))


def _without(entries: list[Entry], folders: dict[str, str], exclude: Sequence[str]) -> tuple[list[Entry], set[str]]:
    """What no pattern excludes; a class vanishes with the last of its files, but an empty folder is not overlooked."""
    exclusion, full = Exclusion(exclude), {entry.label for entry in entries}
    kept = [entry for entry in entries if not exclusion.matches(entry.path)]
    empty = {label for path, label in folders.items() if not exclusion.matches(path) and label not in full}
    for pattern in exclusion.unused:
        log.warning("data.exclude: nothing matches %r", pattern)
    return kept, empty


def _from_folder(base: Path, root: Path) -> tuple[list[Entry], dict[str, str], list[Path]]:
    """Entries, class folders (path -> label) and where a label table may lie."""
    home = base
    while len(inner := _folders(home)) == 1 and _folders(inner[0]) and not _split_of(inner[0]):
        home = inner[0]  # an archive's own top folder
    splits = _split_folders(home)
    if not splits:
        _check_classes(home, root, lists_in(home, base))
        splits = {"": home}
    entries, folders = [], {}
    for split, folder in splits.items():
        for kind in _folders(folder):
            inside = kind.relative_to(base).as_posix()
            folders[inside] = kind.name
            for path in _files(str(kind)):
                entries.append(Entry(inside + path[len(str(kind)) :].replace(os.sep, "/"), kind.name, split))
    return entries, folders, [home, *splits.values(), base]


def _split_folders(home: Path) -> dict[str, Path]:
    """Split -> folder of its classes; the doubled folders of Kaggle's archive are entered."""
    found: dict[str, Path] = {}
    others = []
    for folder in _folders(home):
        split = _split_of(folder)
        if not split:
            others.append(folder.name)
        elif split in found:
            raise UserError(
                f"{home}: both {found[split].name} and {folder.name} hold the {split} images; keep one of them"
            )
        else:
            found[split] = folder
    if found and others:
        log.warning("%s: ignored beside the split folders: %s", home, ", ".join(others[:5]))
    return {split: _undoubled(folder) for split, folder in found.items()}


def _undoubled(folder: Path) -> Path:
    inner = _folders(folder)
    return inner[0] if len(inner) == 1 and _split_of(inner[0]) == SPLITS[folder.name.lower()] else folder


def _split_of(folder: Path) -> str:
    """train, val or test by the folder's name, if it holds folders; a class of files alone may have that name."""
    split = SPLITS.get(folder.name.lower(), "")
    return split if split and _folders(folder) else ""


def _check_classes(home: Path, root: Path, lists: list[Path]) -> None:
    """UserError with advice where a folder holds no class folders; a word on list files that are passed over."""
    count = len(_folders(home))
    if lists and count < 2:
        raise UserError(f"{root}: no class folders; name the list file instead: {lists[0]}")
    if lists:
        log.warning("%s: its %d folders are the classes; name %s if the list is meant instead", root, count, lists[0])
    if not count:
        raise UserError(f"{root}: no folders in it; expected one folder per class with images in it")


def _doubt_classes(root: Path, base: Path, entries: Sequence[Entry], folders: Sequence[str]) -> None:
    """UserError where classes hold splits, as in cat/train; a word where they may be the parts of one set."""
    inner = _inner_folders(entries, folders)
    for kind, names in inner.items():
        splits = {SPLITS[name.lower()]: name for name in sorted(names) if name.lower() in SPLITS}
        if len(splits) > 1:
            one, other = list(splits.values())[:2]
            whole = f"name {base / kind}" if root == base else f"unpack it and name the folder {kind}"
            raise UserError(
                f"{root}: {kind}/{one} and {kind}/{other} look like splits inside a class: {whole} if it holds the "
                f"whole set, else arrange them as {one}/{PurePosixPath(kind).name}, or write a list file"
            )
    for first, second in pairwise(inner):
        if len(shared := sorted(inner[first] & inner[second])) > 1:
            log.warning(
                "%s: %s and %s both have %s, ...: are they classes? Splits are named train, val and test",
                *(root, first, second, ", ".join(shared[:2])),
            )
            return


def _inner_folders(entries: Sequence[Entry], folders: Sequence[str]) -> dict[str, set[str]]:
    """Class folder -> names of the folders in it, or in the one that doubles it."""
    inner: dict[str, set[str]] = {folder: set() for folder in folders}
    depth = folders[0].count("/") + 1
    for entry in entries:
        parts = entry.path.split("/")
        below = parts[depth:-1]
        inner["/".join(parts[:depth])].update(below[1:2] if below[:1] == [entry.label] else below[:1])
    return inner


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as items:
        names = [item.name for item in items if not is_left_behind(item.name) and _is_folder(item)]
    return [folder / name for name in sorted(names, key=natural)]


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself; the audit will say so
        return False


def is_left_behind(name: str) -> bool:
    """Whether a file or folder is hidden, or what a file manager leaves."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _files(folder: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """All files below a folder; a link that leads back to a folder above is not followed."""
    status = os.stat(folder)  # noqa: PTH116 (strings throughout: a hundred thousand Path objects take seconds)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as items:
        for item in items:
            if is_left_behind(item.name):
                continue
            if _is_folder(item):
                yield from _files(item.path, above | {here})
            else:
                yield item.path
