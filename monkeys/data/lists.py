"""List files: `path label` on each line, one file, or one for each split."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ..errors import UserError

LISTS = {"train_list.txt": "train", "val_list.txt": "val", "test_list.txt": "test"}

Listed = tuple[str, str, str]  # path, label, split, which is empty where the list is of no split


def lists_in(*folders: Path) -> list[Path]:
    """The list files that lie in these folders."""
    return [path for folder in folders for name in LISTS if (path := folder / name).is_file()]


def read_lists(path: Path) -> list[Listed]:
    """The lines of a list file; `train_list.txt` brings its neighbours `val_list.txt` and `test_list.txt` along."""
    if path.name != "train_list.txt":
        return _read_list(path, "")
    lists = {path.parent / name: split for name, split in LISTS.items() if (path.parent / name).is_file()}
    if len(lists) == 1:
        return _read_list(path, "train")
    return [line for list_path, split in lists.items() for line in _read_list(list_path, split)]


def _read_list(path: Path, split: str) -> list[Listed]:
    """`path label` per line, divided at the last tab or space; empty lines are passed over."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is neither a folder, nor an archive, nor a list file of `path label` lines") from None
    labels: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        parts = line.strip().rsplit(None, 1)
        if not parts:
            continue
        if len(parts) < 2:
            raise UserError(f"{path}, line {number}: expected `path label`, found {line.strip()[:80]!r}")
        name, label = PurePosixPath(parts[0].replace("\\", "/")).as_posix(), parts[1]
        if labels.setdefault(name, label) != label:
            raise UserError(f"{path}, line {number}: {name} has two labels, {labels[name]} and {label}")
    if not labels:
        raise UserError(f"{path} lists no images; expected `path label` lines")
    return [(name, label, split) for name, label in labels.items()]
