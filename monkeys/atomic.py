"""Files that are written whole or not at all: a crash, a full disk or a signal leaves the old file as it was."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import UserError

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space, or choose a folder on another disk",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose a folder on another disk",
    errno.EROFS: "the disk is read-only: choose a folder that can be written",
    errno.EACCES: "no permission: choose another folder, or change its permissions",
    errno.EPERM: "no permission: choose another folder, or change its permissions",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "this is a file, not a folder",
    errno.EISDIR: "this is a folder, not a file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many files are open: raise the limit with `ulimit -n`",
    errno.EIO: "the disk reports an error of its own",
}
DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE})
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # some network and fuse file systems


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends, and is gone without trace when it fails.

    Bytes and folder entry are on the disk when this returns. A symbolic link is followed, not replaced. OSError passes
    through; `explain` puts it into words.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    with contextlib.ExitStack() as cleanup:
        file = cleanup.enter_context(temporary.open("xb"))
        cleanup.callback(temporary.unlink, missing_ok=True)
        yield file
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(target)
    sync_folder(target.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers that were killed have left; only for a folder in which nobody writes now."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`."""
    with atomic_write(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Put `text` in the place of `path`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Put `value` in the place of `path`, indented; what JSON cannot hold raises before the disk is touched."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; UserError with its name where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {explain(error, path)}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged: expected an object, found {type(found).__name__}")
    return found


def make_folder(path: Path) -> None:
    """A folder for results, with those above it; UserError where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"no folder for results: {explain(error, path)}") from None


def refuse_foreign(out: Path, marks: Collection[str], files: Collection[str] | None, maker: str) -> None:
    """UserError where a folder without the `marks` of an earlier `maker` holds one of `files`, or where None, any."""
    try:
        present = {path.name for path in out.iterdir()} if out.is_dir() else set()
    except OSError as error:
        raise UserError(f"no folder for results: {explain(error, out)}") from None
    if not present >= set(marks) and (found := sorted(present if files is None else present & set(files))):
        raise UserError(f"{out} holds {found[0]}, which no {maker} has written; choose another --out")


def sync_folder(folder: Path) -> None:
    """Put the folder's entries on the disk, where its file system knows how."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def explain(error: OSError, path: Path | str) -> str:
    """One sentence for people: which path, what is wrong with it, and what to do."""
    return f"{path}: {_REASONS.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__}"
